#include "core/surrogate/model_source.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/load_module.h"
#include "core/models/clip_text_model.h"
#include "core/models/tiny_encoder.h"
#include "core/models/unet.h"
#include "core/models/vae.h"
#include "core/surrogate/model_config.h"
#include "core/surrogate/source_parts.h"
#include "core/surrogate/weight_files.h"
#include "core/tensor/device.h"

namespace antidiffusion {
namespace {

constexpr size_t kNamedTensors = 5;
constexpr size_t kNamedFolders = 3;

namespace fs = std::filesystem;

// The names in a folder for which `wanted` holds, sorted.
template <typename Predicate>
std::vector<std::string> NamesIn(const std::string& folder, const Predicate& wanted) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (wanted(entry->path())) names.push_back(absl::CHexEscape(entry->path().filename().string()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Why a folder without model_index.json and config.json is no model.
absl::Status ExplainFolder(const std::string& path) {
  std::vector<std::string> models =
      NamesIn(path, [](const fs::path& entry) { return PathExists(entry / "model_index.json"); });
  if (!models.empty()) {
    if (models.size() > kNamedFolders) models.resize(kNamedFolders);
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": a repository of models, not a model; its models are ",
                     absl::StrJoin(models, ", "), models.size() == kNamedFolders ? ", ..." : ""));
  }
  const std::vector<std::string> files =
      NamesIn(path, [](const fs::path& entry) { return entry.extension() == ".safetensors"; });
  if (!files.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": no model_index.json; for a single-file checkpoint give the file, ",
                     files.front(), ", itself"));
  }
  if (const std::string pickle = FindPickle(path); !pickle.empty()) {
    return PickledCheckpoint(absl::StrCat(path, "/", pickle));
  }
  return absl::NotFoundError(absl::StrCat(path, ": no model_index.json"));
}

bool IsHarmless(const std::string& name) {
  for (const char* beginning :
       {"model_ema.", "cond_stage_model.logit_scale", "first_stage_model.loss.", "loss.",
        "first_stage_model.decoder.", "first_stage_model.post_quant_conv.", "decoder.",
        "post_quant_conv.", "cond_stage_model.model.transformer.resblocks.23.",
        "cond_stage_model.model.text_projection", "denoiser.", "lvlb_weights", "betas",
        "alphas_cumprod", "sqrt_", "log_one_minus_", "posterior_", "scale_factor"}) {
    if (absl::StartsWith(name, beginning)) return true;
  }
  for (const char* end : {"position_ids", "logit_scale", "attn_mask", "v_pred", "ztsnr",
                          "global_step", "num_updates", "num_batches_tracked"}) {
    if (absl::EndsWith(name, end)) return true;
  }
  return false;
}

// `tensors` are a part of `source`.
template <typename Network, typename Config>
absl::Status CheckNetwork(const char* part, const Config& config, TensorSources& tensors,
                          ModelSource& source) {
  const Network shapes(config, at::TensorOptions().device(at::kMeta).dtype(at::kFloat));
  std::vector<std::string> surplus;
  AD_RETURN_IF_ERROR(CheckParameters(tensors, *shapes, &surplus));
  const auto parameters = shapes->named_parameters();
  std::erase_if(tensors, [&parameters](const auto& tensor) {
    return parameters.find(tensor.first) == nullptr;
  });
  NoteUnread(part, surplus, source);
  return absl::OkStatus();
}

absl::StatusOr<ModelSource> ReadAnySource(const std::string& path, const SourceOptions& options) {
  if (!PathExists(path)) return absl::NotFoundError(absl::StrCat(path, ": no such file or folder"));
  std::error_code error;
  if (fs::is_directory(path, error)) {
    if (PathExists(path + "/model_index.json")) return ReadPipelineFolder(path);
    if (PathExists(path + "/config.json")) return ReadEncoderFolder(path);
    return ExplainFolder(path);
  }
  if (IsPickleName(path)) return PickledCheckpoint(path);
  if (absl::EndsWith(path, ".safetensors")) return ReadSingleFile(path, options);
  return absl::FailedPreconditionError(
      absl::StrCat(path, ": neither a folder nor a .safetensors file"));
}

}  // namespace

absl::Status CheckConfigs(const std::string& path, const std::string& schedule,
                          const ModelSource& source) {
  const DenoiserSource& denoiser = *source.denoiser;
  if (const absl::Status status = NoiseSchedule::Create(denoiser.schedule).status(); !status.ok()) {
    return absl::DataLossError(absl::StrCat(schedule, ": ", status.message()));
  }
  std::vector<ClipTextConfig> text;
  for (const TextSource& encoder : denoiser.text) text.push_back(encoder.config);
  const absl::Status fit =
      CheckPartsFit(denoiser.config, std::get<VaeConfig>(source.encoder_config), text);
  return fit.ok() ? fit : absl::Status(fit.code(), absl::StrCat(path, ": ", fit.message()));
}

absl::Status CheckNetworks(ModelSource& source) {
  return CatchTorch([&source]() -> absl::Status {
    if (source.denoiser.has_value()) {
      DenoiserSource& denoiser = *source.denoiser;
      for (TextSource& text : denoiser.text) {
        AD_RETURN_IF_ERROR(
            CheckNetwork<ClipTextModel>("text encoder", text.config, text.tensors, source));
      }
      AD_RETURN_IF_ERROR(CheckNetwork<UNet>("unet", denoiser.config, denoiser.tensors, source));
    }
    if (const auto* tiny = std::get_if<TinyVaeConfig>(&source.encoder_config)) {
      return CheckNetwork<TinyEncoder>("vae", *tiny, source.encoder, source);
    }
    return CheckNetwork<Vae>("vae", std::get<VaeConfig>(source.encoder_config), source.encoder,
                             source);
  });
}

absl::Status ComputeDigests(ModelSource& source) {
  return CatchTorch([&source]() -> absl::Status {
    Sha256 sha;
    for (const std::vector<SafetensorsFile>& part : source.files) {
      for (const SafetensorsFile& file : part) file.HashInto(sha);
    }
    source.digest = sha.FinishHex();
    AD_ASSIGN_OR_RETURN(source.encoder_digest, DigestOfTensors(source.encoder));
    return absl::OkStatus();
  });
}

void NoteUnread(const std::string& part, const std::vector<std::string>& unread,
                ModelSource& source) {
  std::vector<std::string> named;
  size_t count = 0;
  for (const std::string& name : unread) {
    if (IsHarmless(name)) continue;
    if (++count <= kNamedTensors) named.push_back(absl::CHexEscape(name));
  }
  if (count == 0) return;
  source.notes.push_back(
      absl::StrCat(part, ": ", count, " tensors are not read, first ", absl::StrJoin(named, ", ")));
}

absl::StatusOr<ModelSource> ReadModelSource(const std::string& path, const SourceOptions& options) {
  AD_ASSIGN_OR_RETURN(ModelSource source, ReadAnySource(path, options));
  AD_RETURN_IF_ERROR(CheckNetworks(source));
  AD_RETURN_IF_ERROR(ComputeDigests(source));
  return source;
}

}  // namespace antidiffusion
