// Projected gradient ascent (PGD) on the image: the stage that makes the protection.
#pragma once

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "core/protect/method_table.h"
#include "core/protect/schedule.h"
#include "core/protect/semantic_loss.h"
#include "core/protect/stage_context.h"
#include "core/surrogate/stable_diffusion.h"

namespace antidiffusion {

struct PgdOptions {
  int steps = 10;
  double step_size = 2e-3;  // on [-1,1]
  double budget = 0.05;     // on [-1,1], around the centre
  PgdObjective objective;
  SemanticLossOptions semantic;
  at::Tensor target;  // of the objective's encoder part
  PgdRefinements refinements;
  bool tie_channels = false;                  // grey images: one change for all channels
  bool gather_last_weight_gradients = false;  // leave those of the last step in the UNet's weights
};

// With refinements the gradient of a step is the mean over its draws, and momentum adds the earlier
// ones, each divided by its mean magnitude (Dong et al. 2018, MI-FGSM). Every other draw sees the
// image through JPEG, so that what is found holds with and without it.
//
// Each step: image += step_size * sign(gradient of the loss), then clamped to the budget around
// `centre` and to [-1,1]. `image` and `centre` [1,3,H,W]; returns the new image, detached.
// CANCELLED, DEADLINE_EXCEEDED.
absl::StatusOr<at::Tensor> AscendImage(StableDiffusion& model, const at::Tensor& image,
                                       const at::Tensor& centre, const at::Tensor& embedding,
                                       const PgdOptions& options, StageContext& context);

}  // namespace antidiffusion
