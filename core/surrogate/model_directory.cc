#include "core/surrogate/model_directory.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/json_file.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/load_module.h"
#include "core/checkpoint/safetensors.h"
#include "core/surrogate/assemble.h"
#include "core/surrogate/model_config.h"
#include "core/surrogate/weight_files.h"
#include "core/tensor/device.h"

namespace antidiffusion {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxConfigBytes = int64_t{1} << 20;

absl::Status MissingIndex(const std::string& directory) {
  std::error_code error;
  if (!std::filesystem::is_directory(directory, error)) {
    return absl::NotFoundError(absl::StrCat(directory, ": no such folder"));
  }
  const std::string pickle = FindPickle(directory);
  if (pickle.empty()) {
    return absl::NotFoundError(absl::StrCat(directory, ": no model_index.json"));
  }
  return absl::FailedPreconditionError(
      absl::StrCat(directory, ": a single pickled checkpoint (", pickle,
                   ") and no model_index.json; convert it with diffusers' "
                   "scripts/convert_original_stable_diffusion_to_diffusers.py --to_safetensors"));
}

// Reads and parses `name`, a path within the folder.
template <typename Config>
absl::Status ReadConfig(const std::string& directory, const std::string& name,
                        absl::StatusOr<Config> (*parse)(const Json&, const std::string&),
                        Config& config) {
  const std::string path = absl::StrCat(directory, "/", name);
  AD_ASSIGN_OR_RETURN(const Json json, ReadJsonFile(path, kMaxConfigBytes));
  AD_ASSIGN_OR_RETURN(config, parse(json, path));
  return absl::OkStatus();
}

// The weight files of one part, found and opened.
struct PartFiles {
  std::vector<SafetensorsFile> files;
};

// `paths` gains those of the part.
absl::StatusOr<PartFiles> OpenPart(const std::string& folder, const std::string& stem,
                                   std::vector<std::string>& paths) {
  PartFiles part;
  AD_ASSIGN_OR_RETURN(const std::vector<std::string> found, FindWeightFiles(folder, stem));
  for (const std::string& path : found) {
    AD_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::Open(path));
    part.files.push_back(std::move(file));
  }
  paths.insert(paths.end(), found.begin(), found.end());
  return part;
}

// How releases before diffusers 0.17 name the attention of the VAE's mid blocks, whose matrices
// those before 0.4 wrote as convolutions.
LoadRules VaeRules() {
  LoadRules rules;
  rules.renamed_parts = {
      {"query", "to_q"}, {"key", "to_k"}, {"value", "to_v"}, {"proj_attn", "to_out.0"}};
  rules.accept_pointwise_convolutions = true;
  rules.ignored_prefixes = {"decoder.", "post_quant_conv."};
  return rules;
}

// Transformers before 4.31 saved the buffer of positions 0, 1, 2, ... with the weights.
LoadRules TextEncoderRules() {
  LoadRules rules;
  rules.ignored = {"text_model.embeddings.position_ids"};
  return rules;
}

at::TensorOptions On(c10::Device device) {
  return at::TensorOptions().dtype(at::kFloat).device(device);
}

absl::Status LoadText(const std::string& directory, const std::string& number,
                      std::vector<std::string>& paths, std::vector<ClipTextConfig>& configs,
                      UNetParts& unet) {
  const std::string part = absl::StrCat("text_encoder", number);
  ClipTextConfig config;
  AD_RETURN_IF_ERROR(
      ReadConfig(directory, absl::StrCat(part, "/config.json"), ParseClipTextConfig, config));
  AD_ASSIGN_OR_RETURN(const PartFiles weights,
                      OpenPart(absl::StrCat(directory, "/", part), "model", paths));
  TextEncoderParts text;
  AD_ASSIGN_OR_RETURN(
      text.tokenizer,
      ClipTokenizer::Create(absl::StrCat(directory, "/tokenizer", number), config.vocab_size));
  text.model = ClipTextModel(config, On(c10::kCPU));
  AD_RETURN_IF_ERROR(LoadParameters(weights.files, *text.model, TextEncoderRules()));
  configs.push_back(config);
  unet.texts.push_back(std::move(text));
  return absl::OkStatus();
}

absl::Status LoadUNet(const std::string& directory, c10::Device device,
                      std::vector<std::string>& paths, UNetParts& unet) {
  AD_RETURN_IF_ERROR(ReadConfig(directory, "unet/config.json", ParseUNetConfig, unet.config));
  NoiseScheduleConfig schedule_config;
  AD_RETURN_IF_ERROR(ReadConfig(directory, "scheduler/scheduler_config.json",
                                ParseNoiseScheduleConfig, schedule_config));
  const absl::StatusOr<NoiseSchedule> schedule = NoiseSchedule::Create(schedule_config);
  if (!schedule.ok()) {
    return absl::DataLossError(
        absl::StrCat(directory, "/scheduler/scheduler_config.json: ", schedule.status().message()));
  }
  unet.schedule = std::make_unique<NoiseSchedule>(*schedule);
  AD_ASSIGN_OR_RETURN(const PartFiles weights,
                      OpenPart(directory + "/unet", "diffusion_pytorch_model", paths));
  unet.network = UNet(unet.config, On(device));
  return LoadParameters(weights.files, *unet.network);
}

absl::Status LoadEncoder(const std::string& folder, c10::Device device,
                         std::vector<std::string>& paths, EncoderParts& encoder) {
  AD_RETURN_IF_ERROR(ReadConfig(folder, "config.json", ParseEncoderConfig, encoder.config));
  std::vector<std::string> own;
  AD_ASSIGN_OR_RETURN(const PartFiles weights, OpenPart(folder, "diffusion_pytorch_model", own));
  paths.insert(paths.end(), own.begin(), own.end());
  AD_ASSIGN_OR_RETURN(encoder.digest, Sha256OfFiles(own));
  if (const auto* config = std::get_if<TinyVaeConfig>(&encoder.config)) {
    TinyEncoder network(*config, On(device));
    encoder.network = network;
    return LoadParameters(weights.files, *network, VaeRules());
  }
  Vae network(std::get<VaeConfig>(encoder.config), On(device));
  encoder.network = network;
  return LoadParameters(weights.files, *network, VaeRules());
}

absl::Status LoadPipeline(const std::string& directory, Pipeline pipeline, SurrogateParts& parts) {
  std::vector<std::string> paths;
  std::vector<ClipTextConfig> texts;
  AD_RETURN_IF_ERROR(LoadText(directory, "", paths, texts, parts.unet));
  if (pipeline == Pipeline::kXl) {
    AD_RETURN_IF_ERROR(LoadText(directory, "_2", paths, texts, parts.unet));
  }
  AD_RETURN_IF_ERROR(LoadUNet(directory, parts.device, paths, parts.unet));
  AD_RETURN_IF_ERROR(LoadEncoder(directory + "/vae", parts.device, paths, parts.encoder));
  AD_RETURN_IF_ERROR(CheckPipelineFits(pipeline, parts.unet.config));
  if (const auto* vae = std::get_if<VaeConfig>(&parts.encoder.config)) {
    const absl::Status fit = CheckPartsFit(parts.unet.config, *vae, texts);
    if (!fit.ok()) return absl::Status(fit.code(), absl::StrCat(directory, ": ", fit.message()));
  }
  parts.family = FamilyOf(parts.unet.config);
  AD_ASSIGN_OR_RETURN(parts.digest, Sha256OfFiles(paths));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Surrogate> LoadModelDirectory(const std::string& directory, c10::Device device,
                                             c10::ScalarType precision) {
  SurrogateParts parts;
  parts.device = device;
  parts.precision = precision;
  const std::string index_path = absl::StrCat(directory, "/model_index.json");
  const absl::StatusOr<Json> index = ReadJsonFile(index_path, kMaxConfigBytes);
  std::error_code error;
  if (absl::IsNotFound(index.status()) &&
      !std::filesystem::is_regular_file(directory + "/config.json", error)) {
    return MissingIndex(directory);
  }
  AD_RETURN_IF_ERROR(CatchTorch([&]() -> absl::Status {
    if (absl::IsNotFound(index.status())) {
      std::vector<std::string> paths;
      AD_RETURN_IF_ERROR(LoadEncoder(directory, device, paths, parts.encoder));
      parts.family = "encoder";
      parts.digest = parts.encoder.digest;
      return absl::OkStatus();
    }
    AD_RETURN_IF_ERROR(index.status());
    AD_ASSIGN_OR_RETURN(const Pipeline pipeline, ParseModelIndex(*index, index_path));
    return LoadPipeline(directory, pipeline, parts);
  }));
  return MakeSurrogate(std::move(parts));
}

}  // namespace antidiffusion
