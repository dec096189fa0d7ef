// Noise or velocity: what an SD 2.x model predicts when nothing says it.
#pragma once

#include "core/models/unet.h"
#include "core/surrogate/model_source.h"

namespace antidiffusion {

// Latent sides that SD 2.x was trained at: 512 pixels for noise, 768 for velocity.
inline constexpr int64_t kNoiseLatentSide = 64;
inline constexpr int64_t kVelocityLatentSide = 96;

// Whether a UNet for latents of 4 channels predicts velocity, by the test of A1111's web UI
// (modules/sd_models_config.py, is_using_v_parameterization_for_sd2): at the noisiest timestep,
// 999, and of a latent and a context that are .5 throughout, predicted noise is about the latent
// itself while velocity lies far below it. `context_width`: the UNet's cross_attention_dim. Throws
// c10::Error.
bool PredictsVelocity(UNet& unet, int64_t context_width);

// Settles what ReadModelSource left open in `source.denoiser` and notes it: schedule, and the
// native side unless it was said. Nothing to do for every other model.
void SettlePrediction(UNet& unet, ModelSource& source);

}  // namespace antidiffusion
