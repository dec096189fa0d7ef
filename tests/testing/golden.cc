#include "tests/testing/golden.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "core/checkpoint/load_module.h"

namespace antidiffusion {
namespace {

constexpr double kFloorsAllowed = 20;
constexpr double kRelativeTolerance = 2e-6;
constexpr double kExactRelativeTolerance = 3e-7;

template <typename T>
T ValueOrThrow(absl::StatusOr<T> value) {
  if (!value.ok()) throw std::runtime_error(std::string(value.status().ToString()));
  return std::move(value).value();
}

nlohmann::json ReadJson(const std::string& path) {
  std::ifstream stream(path);
  if (!stream) throw std::runtime_error("no file " + path);
  return nlohmann::json::parse(stream);
}

bool IsSd1(const std::string& model) { return model == "sd1-like"; }
bool IsThreeLevels(const std::string& model) { return model == "sd2-v-like"; }

}  // namespace

std::string GoldenPath(const std::string& relative) {
  return std::string(ANTIDIFFUSION_SOURCE_DIR) + "/tests/golden/" + relative;
}

const std::vector<std::string>& GoldenModelNames() {
  static const auto* const kNames =
      new std::vector<std::string>{"sd1-like", "sd2-base-like", "sd2-v-like"};
  return *kNames;
}

std::string GoldenTestName(std::string model) {
  std::replace(model.begin(), model.end(), '-', '_');
  return model;
}

void LoadGoldenWeights(const std::string& path, torch::nn::Module& module) {
  std::vector<SafetensorsFile> files;
  files.push_back(ValueOrThrow(SafetensorsFile::Open(path)));
  LoadRules rules;  // sd1-like spells its VAE's attention as old releases do
  rules.renamed_parts = {
      {"query", "to_q"}, {"key", "to_k"}, {"value", "to_v"}, {"proj_attn", "to_out.0"}};
  rules.ignored = {"text_model.embeddings.position_ids"};
  rules.ignored_prefixes = {"decoder.", "post_quant_conv."};
  const absl::Status status = LoadParameters(files, module, rules);
  if (!status.ok()) throw std::runtime_error(std::string(status.ToString()));
}

UNetConfig GoldenUNetConfig(const std::string& model) {
  UNetConfig config;
  config.sample_size = 16;
  config.norm_num_groups = 8;
  if (IsSd1(model)) {
    config.block_out_channels = {16, 24, 24, 24};
    config.cross_attention_dim = 32;
    return config;
  }
  config.use_linear_projection = true;
  if (IsThreeLevels(model)) {
    config.sample_size = 12;
    config.block_out_channels = {16, 24, 32};
    config.layers_per_block = {2, 2, 2};
    config.transformer_layers = {1, 1, 1};
    config.attention_heads = {2, 3, 4};
    config.down_block_types = {"DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"};
    config.up_block_types = {"CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"};
    config.cross_attention_dim = 40;
  } else {
    config.block_out_channels = {16, 16, 32, 32};
    config.attention_heads = {2, 2, 4, 4};
    config.layers_per_block = {1, 1, 1, 1};
    config.cross_attention_dim = 48;
  }
  return config;
}

VaeConfig GoldenVaeConfig(const std::string& model) {
  VaeConfig config;
  config.block_out_channels = {8, IsThreeLevels(model) ? 8 : 16, 16, 16};
  config.layers_per_block = IsThreeLevels(model) ? 2 : 1;
  config.norm_num_groups = model == "sd2-base-like" ? 8 : 4;
  return config;
}

ClipTextConfig GoldenTextConfig(const std::string& model) {
  ClipTextConfig config;
  config.hidden_size = GoldenUNetConfig(model).cross_attention_dim;
  config.intermediate_size = 4 * config.hidden_size;
  config.num_hidden_layers = IsSd1(model) ? 3 : 2;
  config.num_attention_heads = IsThreeLevels(model) ? 5 : 4;
  config.hidden_act = IsSd1(model) ? "quick_gelu" : "gelu";
  config.vocab_size = 514 + (IsSd1(model) ? 500 : IsThreeLevels(model) ? 400 : 300);
  return config;
}

UNet LoadGoldenUNet(const std::string& model) {
  return Filled(UNet(GoldenUNetConfig(model)),
                GoldenPath("models/" + model + "/unet/diffusion_pytorch_model.safetensors"));
}

Vae LoadGoldenVae(const std::string& model) {
  return Filled(Vae(GoldenVaeConfig(model)),
                GoldenPath("models/" + model + "/vae/diffusion_pytorch_model.safetensors"));
}

ClipTextModel LoadGoldenTextModel(const std::string& model) {
  return Filled(ClipTextModel(GoldenTextConfig(model)),
                GoldenPath("models/" + model + "/text_encoder/model.safetensors"));
}

GoldenValues::GoldenValues(const std::string& model, const std::string& file)
    : file_(ValueOrThrow(SafetensorsFile::Open(GoldenPath(model + "/" + file + ".safetensors")))) {
  nlohmann::json floors = ReadJson(GoldenPath("noise_floor.json"))["noise_floor"];
  floors.update(ReadJson(GoldenPath("families/noise_floor.json")));
  const auto files = floors.find(model);
  if (files != floors.end() && files->contains(file)) {
    noise_floor_ = (*files)[file].get<std::map<std::string, double>>();
  }
}

at::Tensor GoldenValues::operator[](const std::string& key) const {
  return ValueOrThrow(file_.Read(key));
}

double GoldenValues::Tolerance(const std::string& key) const {
  const double largest = (*this)[key].abs().max().to(at::kDouble).item<double>();
  const auto floor = noise_floor_.find(key);
  if (floor == noise_floor_.end()) return kExactRelativeTolerance * largest;
  return std::max(kFloorsAllowed * floor->second, kRelativeTolerance * largest);
}

std::vector<std::string> GoldenParameterNames(const std::string& model) {
  return ReadJson(GoldenPath(model + "/names.json"))["param_names"].get<std::vector<std::string>>();
}

Parity::~Parity() {
  for (const auto& [kind, worst] : worst_) {
    std::printf("PARITY %s | %s | max_dev %.2g | tolerance %.2g\n", model_.c_str(), kind.c_str(),
                worst.deviation, worst.tolerance);
  }
}

void Parity::Expect(const std::string& kind, const GoldenValues& golden, const std::string& key,
                    const at::Tensor& actual) {
  const at::Tensor expected = golden[key].to(at::kDouble);
  ASSERT_EQ(actual.sizes(), expected.sizes()) << key;
  // A NaN is larger than any tolerance: the comparison below is false for it.
  const double deviation = (actual.detach().to(at::kDouble) - expected).abs().max().item<double>();
  ExpectDeviation(kind, key, deviation, golden.Tolerance(key));
}

void Parity::ExpectDeviation(const std::string& kind, const std::string& label, double deviation,
                             double tolerance) {
  EXPECT_TRUE(deviation <= tolerance)
      << model_ << " " << label << " is off by " << deviation << ", allowed " << tolerance;
  Worst& worst = worst_.try_emplace(kind, Worst{deviation, tolerance}).first->second;
  if (!(deviation * worst.tolerance <= worst.deviation * tolerance)) worst = {deviation, tolerance};
}

}  // namespace antidiffusion
