// What PGD raises, put together from the method's settings.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/protect/method_table.h"
#include "core/protect/semantic_loss.h"
#include "core/protect/stage_context.h"
#include "core/surrogate/stable_diffusion.h"

namespace antidiffusion {

// Scalars on the image's graph; a term that the objective lacks, or that the
// model has no captured layer for, is undefined.
struct PgdLoss {
  at::Tensor total;
  at::Tensor denoising;
  at::Tensor semantic;
};

// The timesteps that are drawn, both ends included; cut to those of the model's schedule.
struct TimestepRange {
  int min = 0;
  int max = 999;
};

// The loss of `image` [1,3,H,W] under fresh draws: a posterior sample, noise, a timestep (none when
// the objective has no denoising part: the posterior's mean is then compared with `target`, the
// latent that the encoder part moves towards, needed only with an encoder weight).
PgdLoss EvaluatePgdLoss(StableDiffusion& model, const at::Tensor& image,
                        const at::Tensor& embedding, const at::Tensor& target,
                        const PgdObjective& objective, const SemanticLossOptions& semantic,
                        const TimestepRange& timesteps, StageContext& context);

}  // namespace antidiffusion
