#include "core/surrogate/load_surrogate.h"

#include <memory>
#include <utility>
#include <variant>

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

absl::Status ReadUNet(ModelSource& source, c10::Device device, UNetParts& unet) {
  DenoiserSource& denoiser = *source.denoiser;
  for (TextSource& text : denoiser.text) {
    TextEncoderParts parts;
    AD_ASSIGN_OR_RETURN(
        parts.model, ReadNetwork<ClipTextModel>(text.config, text.tensors, Float32On(c10::kCPU)));
    parts.tokenizer = std::move(text.tokenizer);
    unet.texts.push_back(std::move(parts));
  }
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
  AD_ASSIGN_OR_RETURN(ModelSource source, ReadModelSource(path, options));
  SurrogateParts parts;
  parts.family = source.family;
  parts.digest = source.digest;
  parts.device = device;
  parts.precision = precision;
  const absl::Status read = CatchTorch([&]() -> absl::Status {
    AD_RETURN_IF_ERROR(ReadEncoder(source, device, parts.encoder));
    return source.denoiser.has_value() ? ReadUNet(source, device, parts.unet) : absl::OkStatus();
  });
  AD_RETURN_IF_ERROR(read);
  parts.notes = source.notes;
  return MakeSurrogate(std::move(parts));
}

}  // namespace antidiffusion
