#include "tests/testing/golden_families.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "core/base/json_file.h"
#include "core/surrogate/model_config.h"
#include "tests/testing/golden.h"

namespace antidiffusion {
namespace {

constexpr int64_t kMaxConfigBytes = 1 << 16;

template <typename Config>
Config ReadConfig(const std::string& folder,
                  absl::StatusOr<Config> (*parse)(const nlohmann::json&, const std::string&)) {
  const std::string path = folder + "/config.json";
  const absl::StatusOr<nlohmann::json> json = ReadJsonFile(path, kMaxConfigBytes);
  if (!json.ok()) throw std::runtime_error(std::string(json.status().ToString()));
  const absl::StatusOr<Config> config = parse(*json, path);
  if (!config.ok()) throw std::runtime_error(std::string(config.status().ToString()));
  return *config;
}

// A pipeline keeps its VAE in a folder of its own, an encoder alone is one.
std::string EncoderFolder(const std::string& model) {
  const std::string folder = FamilyModelPath(model) + "/vae";
  return std::filesystem::exists(folder) ? folder : FamilyModelPath(model);
}

}  // namespace

const std::vector<std::string>& FamilyPipelineNames() {
  static const auto* const kNames =
      new std::vector<std::string>{"bk-like", "inpaint-like", "pix2pix-like", "sdxl-like"};
  return *kNames;
}

std::string FamilyModelPath(const std::string& model) {
  return GoldenPath("families/models/" + model);
}

UNetConfig FamilyUNetConfig(const std::string& model) {
  return ReadConfig(FamilyModelPath(model) + "/unet", ParseUNetConfig);
}

UNet LoadFamilyUNet(const std::string& model) {
  return Filled(UNet(FamilyUNetConfig(model)),
                FamilyModelPath(model) + "/unet/diffusion_pytorch_model.safetensors");
}

Vae LoadFamilyVae(const std::string& model) {
  const std::string folder = EncoderFolder(model);
  return Filled(Vae(ReadConfig(folder, ParseVaeConfig)),
                folder + "/diffusion_pytorch_model.safetensors");
}

TinyEncoder LoadFamilyTinyEncoder(const std::string& model) {
  const std::string folder = EncoderFolder(model);
  return Filled(TinyEncoder(ReadConfig(folder, ParseTinyVaeConfig)),
                folder + "/diffusion_pytorch_model.safetensors");
}

ClipTextModel LoadFamilyTextModel(const std::string& model, const std::string& part) {
  const std::string folder = FamilyModelPath(model) + "/" + part;
  return Filled(ClipTextModel(ReadConfig(folder, ParseClipTextConfig)),
                folder + "/model.safetensors");
}

}  // namespace antidiffusion
