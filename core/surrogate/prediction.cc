#include "core/surrogate/prediction.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>

#include "absl/strings/str_cat.h"

namespace antidiffusion {

bool PredictsVelocity(UNet& unet, int64_t context_width) {
  constexpr int64_t kSide = 8, kTokens = 2, kTimestep = 999;
  const at::NoGradGuard no_grad;
  const at::TensorOptions options = unet->parameters().front().options();
  const at::Tensor latent = at::full({1, 4, kSide, kSide}, 0.5, options);
  const at::Tensor context = at::full({1, kTokens, context_width}, 0.5, options);
  const at::Tensor timestep = at::full({1}, kTimestep, options.dtype(at::kLong));
  return (unet(latent, timestep, context) - latent).mean().item<double>() < -1.0;
}

void SettlePrediction(UNet& unet, ModelSource& source) {
  if (!source.denoiser.has_value() || !source.denoiser->prediction_is_open) return;
  DenoiserSource& denoiser = *source.denoiser;
  denoiser.prediction_is_open = false;
  const bool velocity = PredictsVelocity(unet, denoiser.config.cross_attention_dim);
  if (velocity) {
    denoiser.schedule.prediction_type = PredictionType::kVPrediction;
    if (!denoiser.native_side_is_said) denoiser.config.sample_size = kVelocityLatentSide;
  }
  source.notes.push_back(absl::StrCat("prediction type ", velocity ? "v_prediction" : "epsilon",
                                      ", guessed from what the UNet does with pure noise (as A1111 "
                                      "does); NAME.json overrides it"));
}

}  // namespace antidiffusion
