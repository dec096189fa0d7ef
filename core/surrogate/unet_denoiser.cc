#include "core/surrogate/unet_denoiser.h"

#include <ATen/ATen.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/surrogate/autocast.h"

namespace antidiffusion {

UNetDenoiser::UNetDenoiser(UNetDenoiserParts parts)
    : parts_(std::move(parts)), weights_(parts_.unet->parameters()) {
  *parts_.schedule = parts_.schedule->To(parts_.device);
}

absl::StatusOr<Conditioning> UNetDenoiser::Condition(const std::string& prompt, int64_t height,
                                                     int64_t width) {
  absl::StatusOr<Conditioning> conditioning = parts_.prompts->Encode(prompt, height, width);
  if (conditioning.ok()) return conditioning;
  return absl::InternalError(
      absl::StrCat(conditioning.status().message(), "; restart the server to load the model anew"));
}

at::Tensor UNetDenoiser::ExtraChannels(const at::Tensor& image, const LatentPosterior& posterior) {
  return parts_.channels == nullptr ? at::Tensor() : parts_.channels->Of(image, posterior);
}

at::Tensor UNetDenoiser::AddNoise(const at::Tensor& latent, const NoiseDraw& draw) const {
  return parts_.schedule->AddNoise(latent, draw.noise, draw.timestep);
}

at::Tensor UNetDenoiser::Target(const at::Tensor& latent, const NoiseDraw& draw) const {
  return parts_.schedule->Target(latent, draw.noise, draw.timestep);
}

at::Tensor UNetDenoiser::Predict(const at::Tensor& noisy, const at::Tensor& timestep,
                                 const Conditioning& conditioning, const at::Tensor& extra,
                                 AttentionCapture* capture) {
  const AutocastScope autocast(parts_.device, parts_.precision);
  ++forwards_;
  const at::Tensor input = extra.defined() ? at::cat({noisy, extra}, 1) : noisy;
  const AddedConditioning added{conditioning.pooled, conditioning.time_ids};
  return parts_
      .unet(input, timestep, conditioning.context, capture,
            conditioning.pooled.defined() ? &added : nullptr)
      .to(at::kFloat);
}

std::string UNetDenoiser::prediction_type() const {
  return parts_.schedule->prediction_type() == PredictionType::kEpsilon ? "epsilon"
                                                                        : "v_prediction";
}

bool UNetDenoiser::guides_by_image() const {
  return parts_.channels != nullptr && parts_.channels->are_the_image();
}

bool UNetDenoiser::HasCrossAttention(const CapturedLayers& layers) const {
  return antidiffusion::HasCrossAttention(parts_.config, layers);
}

}  // namespace antidiffusion
