#include "core/surrogate/load_surrogate.h"

#include <c10/util/accumulate.h>

#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/status_macros.h"
#include "core/surrogate/assemble.h"
#include "core/surrogate/networks.h"
#include "core/surrogate/prediction.h"
#include "core/tensor/device.h"

namespace antidiffusion {
namespace {

at::TensorOptions Float32On(c10::Device device) {
  return at::TensorOptions().device(device).dtype(at::kFloat);
}

absl::Status ReadEncoder(const ModelSource& source, c10::Device device, EncoderParts& encoder) {
  encoder.config = source.encoder_config;
  encoder.digest = source.encoder_digest;
  if (const auto* tiny = std::get_if<TinyVaeConfig>(&source.encoder_config)) {
    AD_ASSIGN_OR_RETURN(encoder.network,
                        ReadNetwork<TinyEncoder>(*tiny, source.encoder, Float32On(device)));
    return absl::OkStatus();
  }
  AD_ASSIGN_OR_RETURN(encoder.network, ReadNetwork<Vae>(std::get<VaeConfig>(source.encoder_config),
                                                        source.encoder, Float32On(device)));
  return absl::OkStatus();
}

// That the files of these tensors are those whose digest was taken.
absl::Status CheckUnchanged(const TensorSources& tensors) {
  const SafetensorsFile* checked = nullptr;
  for (const auto& [name, tensor] : tensors) {
    if (tensor.file != checked) AD_RETURN_IF_ERROR(tensor.file->CheckUnchanged());
    checked = tensor.file;
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> BytesInFloat32(const TensorSources& tensors) {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : tensors) {
    AD_ASSIGN_OR_RETURN(const std::vector<int64_t> shape, tensor.Shape());
    bytes += c10::multiply_integers(shape) * static_cast<int64_t>(sizeof(float));
  }
  return bytes;
}

// Encodes one prompt, so that every weight of the text encoders has been looked at.
absl::Status ReadPrompts(const std::shared_ptr<ModelSource>& source, c10::Device device,
                         c10::ScalarType precision, UNetParts& unet) {
  std::vector<TextEncoderParts> texts;
  for (TextSource& text : source->denoiser->text) {
    TextEncoderParts parts;
    parts.read = [source, &text, device]() -> absl::StatusOr<ClipTextModel> {
      AD_RETURN_IF_ERROR(CheckUnchanged(text.tensors));
      return ReadNetwork<ClipTextModel>(text.config, text.tensors, Float32On(device));
    };
    AD_ASSIGN_OR_RETURN(parts.bytes, BytesInFloat32(text.tensors));
    parts.tokenizer = std::move(text.tokenizer);
    texts.push_back(std::move(parts));
  }
  unet.prompts = std::make_unique<PromptEncoder>(std::move(texts), device, precision);
  return unet.prompts->Encode("", /*height=*/0, /*width=*/0).status();  // the text is remembered
}

absl::Status ReadUNet(ModelSource& source, c10::Device device, UNetParts& unet) {
  DenoiserSource& denoiser = *source.denoiser;
  AD_ASSIGN_OR_RETURN(unet.network,
                      ReadNetwork<UNet>(denoiser.config, denoiser.tensors, Float32On(device)));
  SettlePrediction(unet.network, source);
  unet.config = denoiser.config;
  AD_ASSIGN_OR_RETURN(NoiseSchedule schedule, NoiseSchedule::Create(denoiser.schedule));
  unet.schedule = std::make_unique<NoiseSchedule>(std::move(schedule));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Surrogate> LoadSurrogate(const std::string& path, c10::Device device,
                                        c10::ScalarType precision, const SourceOptions& options) {
  AD_ASSIGN_OR_RETURN(ModelSource read, ReadModelSource(path, options));
  // The text encoders are read from it again when they are needed.
  const auto source = std::make_shared<ModelSource>(std::move(read));
  SurrogateParts parts;
  parts.family = source->family;
  parts.digest = source->digest;
  parts.device = device;
  parts.precision = precision;
  const absl::Status loaded = CatchTorch([&]() -> absl::Status {
    AD_RETURN_IF_ERROR(ReadEncoder(*source, device, parts.encoder));
    if (!source->denoiser.has_value()) return absl::OkStatus();
    AD_RETURN_IF_ERROR(ReadPrompts(source, device, precision, parts.unet));
    return ReadUNet(*source, device, parts.unet);
  });
  AD_RETURN_IF_ERROR(loaded);
  parts.notes = source->notes;
  return MakeSurrogate(std::move(parts));
}

}  // namespace antidiffusion
