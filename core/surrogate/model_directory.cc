#include "core/surrogate/model_directory.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/json_file.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/load_module.h"
#include "core/checkpoint/safetensors.h"
#include "core/surrogate/model_config.h"
#include "core/surrogate/weight_files.h"
#include "core/tensor/device.h"

namespace antidiffusion {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxConfigBytes = int64_t{1} << 20;

// Everything that the small files of a folder say.
struct Configs {
  UNetConfig unet;
  VaeConfig vae;
  ClipTextConfig text;
  NoiseScheduleConfig schedule;
};

// The weight files of one part, found and opened.
struct PartFiles {
  std::vector<std::string> paths;
  std::vector<SafetensorsFile> files;
};

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

absl::StatusOr<Configs> ReadConfigs(const std::string& directory) {
  const std::string index_path = absl::StrCat(directory, "/model_index.json");
  const absl::StatusOr<Json> index = ReadJsonFile(index_path, kMaxConfigBytes);
  if (absl::IsNotFound(index.status())) return MissingIndex(directory);
  AD_RETURN_IF_ERROR(index.status());
  AD_ASSIGN_OR_RETURN(const Pipeline pipeline, ParseModelIndex(*index, index_path));
  if (pipeline != Pipeline::kTextToImage) {
    return absl::FailedPreconditionError(
        absl::StrCat(index_path, ": _class_name: only text-to-image pipelines can be loaded"));
  }
  Configs configs;
  AD_RETURN_IF_ERROR(ReadConfig(directory, "unet/config.json", ParseUNetConfig, configs.unet));
  AD_RETURN_IF_ERROR(ReadConfig(directory, "vae/config.json", ParseVaeConfig, configs.vae));
  AD_RETURN_IF_ERROR(
      ReadConfig(directory, "text_encoder/config.json", ParseClipTextConfig, configs.text));
  AD_RETURN_IF_ERROR(ReadConfig(directory, "scheduler/scheduler_config.json",
                                ParseNoiseScheduleConfig, configs.schedule));
  AD_RETURN_IF_ERROR(CheckPipelineFits(pipeline, configs.unet));
  const absl::Status fit = CheckPartsFit(configs.unet, configs.vae, {configs.text});
  if (!fit.ok()) return absl::Status(fit.code(), absl::StrCat(directory, ": ", fit.message()));
  return configs;
}

absl::StatusOr<PartFiles> OpenPart(const std::string& folder, const std::string& stem) {
  PartFiles part;
  AD_ASSIGN_OR_RETURN(part.paths, FindWeightFiles(folder, stem));
  for (const std::string& path : part.paths) {
    AD_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::Open(path));
    part.files.push_back(std::move(file));
  }
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

absl::Status LoadNetworks(const Configs& configs, const PartFiles& unet, const PartFiles& vae,
                          const PartFiles& text, StableDiffusionParts& parts) {
  return CatchTorch([&]() -> absl::Status {
    const at::TensorOptions options = at::TensorOptions().device(parts.device).dtype(at::kFloat);
    parts.text_encoder = ClipTextModel(configs.text, options);
    AD_RETURN_IF_ERROR(LoadParameters(text.files, *parts.text_encoder, TextEncoderRules()));
    parts.vae = Vae(configs.vae, options);
    AD_RETURN_IF_ERROR(LoadParameters(vae.files, *parts.vae, VaeRules()));
    parts.unet = UNet(configs.unet, options);
    return LoadParameters(unet.files, *parts.unet);
  });
}

}  // namespace

absl::StatusOr<LoadedModel> LoadModelDirectory(const std::string& directory, c10::Device device,
                                               c10::ScalarType precision) {
  AD_ASSIGN_OR_RETURN(const Configs configs, ReadConfigs(directory));
  AD_ASSIGN_OR_RETURN(const PartFiles text, OpenPart(directory + "/text_encoder", "model"));
  AD_ASSIGN_OR_RETURN(const PartFiles unet,
                      OpenPart(directory + "/unet", "diffusion_pytorch_model"));
  AD_ASSIGN_OR_RETURN(const PartFiles vae, OpenPart(directory + "/vae", "diffusion_pytorch_model"));

  StableDiffusionParts parts;
  parts.unet_config = configs.unet;
  parts.vae_config = configs.vae;
  parts.device = device;
  parts.precision = precision;
  AD_ASSIGN_OR_RETURN(parts.tokenizer,
                      ClipTokenizer::Create(directory + "/tokenizer", configs.text.vocab_size));
  const absl::StatusOr<NoiseSchedule> schedule = NoiseSchedule::Create(configs.schedule);
  if (!schedule.ok()) {
    return absl::DataLossError(
        absl::StrCat(directory, "/scheduler/scheduler_config.json: ", schedule.status().message()));
  }
  parts.schedule = std::make_unique<NoiseSchedule>(*schedule);
  AD_RETURN_IF_ERROR(LoadNetworks(configs, unet, vae, text, parts));

  LoadedModel loaded;
  loaded.family = FamilyOf(configs.unet);
  std::vector<std::string> paths = text.paths;
  paths.insert(paths.end(), unet.paths.begin(), unet.paths.end());
  paths.insert(paths.end(), vae.paths.begin(), vae.paths.end());
  AD_ASSIGN_OR_RETURN(loaded.digest, Sha256OfFiles(paths));
  loaded.model = std::make_unique<StableDiffusion>(std::move(parts));
  return loaded;
}

}  // namespace antidiffusion
