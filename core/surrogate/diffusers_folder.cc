// Folders in the diffusers layout: a whole pipeline, or an autoencoder alone.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/json_file.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/load_module.h"
#include "core/surrogate/model_config.h"
#include "core/surrogate/source_parts.h"
#include "core/surrogate/weight_files.h"

namespace antidiffusion {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxConfigBytes = int64_t{1} << 20;
constexpr char kDiffusersStem[] = "diffusion_pytorch_model";
constexpr char kTextModel[] = "text_model.";

// Reads and parses one config.
template <typename Config>
absl::Status ReadConfig(const std::string& path,
                        absl::StatusOr<Config> (*parse)(const Json&, const std::string&),
                        Config& config) {
  AD_ASSIGN_OR_RETURN(const Json json, ReadJsonFile(path, kMaxConfigBytes));
  AD_ASSIGN_OR_RETURN(config, parse(json, path));
  return absl::OkStatus();
}

// How releases before diffusers 0.17 name the attention of the VAE's mid blocks, whose matrices
// those before 0.4 wrote as convolutions. The decoder is nobody's here.
LoadRules EncoderRules(const EncoderConfig& config) {
  LoadRules rules;
  rules.ignored_prefixes = {"decoder.", "post_quant_conv."};
  if (std::holds_alternative<TinyVaeConfig>(config)) return rules;
  rules.renamed_parts = {
      {"query", "to_q"}, {"key", "to_k"}, {"value", "to_v"}, {"proj_attn", "to_out.0"}};
  rules.accept_pointwise_convolutions = true;
  return rules;
}

// Transformers before 4.31 saved the buffer of positions 0, 1, 2, ... with the weights.
LoadRules TextEncoderRules() {
  LoadRules rules;
  rules.ignored = {"text_model.embeddings.position_ids", "embeddings.position_ids"};
  return rules;
}

// Transformers from 5.6 on leave out the first part of each name where a model was made out of a
// single file.
void CompleteTextNames(TensorSources& tensors) {
  const bool is_complete = std::any_of(tensors.begin(), tensors.end(), [](const auto& tensor) {
    return absl::StartsWith(tensor.first, kTextModel);
  });
  if (is_complete) return;
  TensorSources completed;
  for (auto& [name, source] : tensors) {
    const bool is_outside = absl::StartsWith(name, "text_projection.");
    completed[is_outside ? name : absl::StrCat(kTextModel, name)] = std::move(source);
  }
  tensors = std::move(completed);
}

absl::Status OpenPart(const std::string& folder, const std::string& stem, const LoadRules& rules,
                      ModelSource& source, TensorSources& tensors) {
  AD_ASSIGN_OR_RETURN(std::vector<SafetensorsFile> files,
                      OpenWeightFiles(folder, stem, source.notes));
  source.files.push_back(std::move(files));
  AD_ASSIGN_OR_RETURN(tensors, CollectSources(source.files.back(), rules));
  return absl::OkStatus();
}

absl::Status ReadTextConfigs(const std::string& path, Pipeline pipeline, DenoiserSource& denoiser) {
  const size_t count = pipeline.is_xl ? 2 : 1;
  denoiser.text.resize(count);
  for (size_t i = 0; i < count; ++i) {
    AD_RETURN_IF_ERROR(
        ReadConfig(absl::StrCat(path, i == 0 ? "/text_encoder" : "/text_encoder_2", "/config.json"),
                   ParseClipTextConfig, denoiser.text[i].config));
  }
  return absl::OkStatus();
}

absl::Status ReadConfigs(const std::string& path, Pipeline pipeline, ModelSource& source) {
  DenoiserSource& denoiser = source.denoiser.emplace();
  AD_RETURN_IF_ERROR(ReadConfig(path + "/unet/config.json", ParseUNetConfig, denoiser.config));
  VaeConfig vae;
  AD_RETURN_IF_ERROR(ReadConfig(path + "/vae/config.json", ParseVaeConfig, vae));
  source.encoder_config = vae;
  AD_RETURN_IF_ERROR(ReadTextConfigs(path, pipeline, denoiser));
  const std::string schedule_path = path + "/scheduler/scheduler_config.json";
  AD_RETURN_IF_ERROR(ReadConfig(schedule_path, ParseNoiseScheduleConfig, denoiser.schedule));
  source.family = FamilyOf(denoiser.config);
  if (const absl::Status fit = CheckPipelineFits(pipeline, denoiser.config); !fit.ok()) {
    return {fit.code(), absl::StrCat(path, ": ", fit.message())};
  }
  return CheckConfigs(path, schedule_path, source);
}

absl::Status OpenParts(const std::string& path, ModelSource& source) {
  DenoiserSource& denoiser = *source.denoiser;
  for (size_t i = 0; i < denoiser.text.size(); ++i) {
    const char* number = i == 0 ? "" : "_2";
    AD_RETURN_IF_ERROR(OpenPart(absl::StrCat(path, "/text_encoder", number), "model",
                                TextEncoderRules(), source, denoiser.text[i].tensors));
    CompleteTextNames(denoiser.text[i].tensors);
    AD_ASSIGN_OR_RETURN(denoiser.text[i].tokenizer,
                        ClipTokenizer::Create(absl::StrCat(path, "/tokenizer", number),
                                              denoiser.text[i].config.vocab_size));
  }
  AD_RETURN_IF_ERROR(OpenPart(path + "/unet", kDiffusersStem, {}, source, denoiser.tensors));
  return OpenPart(path + "/vae", kDiffusersStem, EncoderRules(source.encoder_config), source,
                  source.encoder);
}

}  // namespace

absl::StatusOr<ModelSource> ReadPipelineFolder(const std::string& path) {
  const std::string index_path = path + "/model_index.json";
  AD_ASSIGN_OR_RETURN(const Json index, ReadJsonFile(index_path, kMaxConfigBytes));
  AD_ASSIGN_OR_RETURN(const Pipeline pipeline, ParseModelIndex(index, index_path));
  ModelSource source;
  AD_RETURN_IF_ERROR(ReadConfigs(path, pipeline, source));
  AD_RETURN_IF_ERROR(OpenParts(path, source));
  return source;
}

absl::StatusOr<ModelSource> ReadEncoderFolder(const std::string& path) {
  ModelSource source;
  source.family = "encoder";
  AD_RETURN_IF_ERROR(ReadConfig(path + "/config.json", ParseEncoderConfig, source.encoder_config));
  AD_RETURN_IF_ERROR(
      OpenPart(path, kDiffusersStem, EncoderRules(source.encoder_config), source, source.encoder));
  return source;
}

}  // namespace antidiffusion
