#include "core/protect/surrogate_info.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>

#include "core/base/status_macros.h"
#include "core/protect/semantic_loss.h"
#include "core/tensor/device.h"

namespace antidiffusion {
namespace {

constexpr int64_t kTestSide = 8;        // latent cells: what three halvings need
constexpr int64_t kTestTimestep = 500;  // about the middle of the schedule

}  // namespace

ModelInfo DescribeSurrogate(const Surrogate& model, const std::string& name) {
  ModelInfo info;
  info.name = name;
  info.family = model.family;
  info.native_side = static_cast<int>(model.native_side);
  info.digest = model.digest;
  info.notes = model.notes;
  info.device = model.device.str();
  info.precision = PrecisionName(model.precision);
  info.latent_channels = static_cast<int>(model.encoder->latent_channels());
  if (model.denoiser == nullptr) return info;
  info.prediction_type = model.denoiser->prediction_type();
  info.denoises = true;
  info.has_semantic_layers =
      model.denoiser->HasCrossAttention(CapturedOf(SemanticLayers::kQuarter));
  info.guides_by_image = model.denoiser->guides_by_image();
  return info;
}

absl::StatusOr<at::Tensor> TinyPass(const Surrogate& model) {
  const at::NoGradGuard no_grad;
  const auto filled = [&](int64_t channels, int64_t side) {
    return at::full({1, channels, side, side}, 0.5, at::TensorOptions().device(model.device));
  };
  const int64_t pixels = kTestSide * model.encoder->factor();
  if (model.denoiser == nullptr) return model.encoder->Mean(filled(3, pixels));
  const int64_t channels = model.encoder->latent_channels();
  LatentPosterior posterior;
  posterior.mean = filled(channels, kTestSide);
  posterior.unscaled_mean = posterior.mean;
  AD_ASSIGN_OR_RETURN(const Conditioning prompt, model.denoiser->Condition("", pixels, pixels));
  return model.denoiser->Predict(posterior.mean,
                                 at::full({1}, kTestTimestep, at::kLong).to(model.device), prompt,
                                 model.denoiser->ExtraChannels(filled(3, pixels), posterior));
}

}  // namespace antidiffusion
