// Projected gradient ascent (PGD) on the image: the stage that makes the protection.
#pragma once

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "core/protect/frequency_weight.h"
#include "core/protect/objective.h"
#include "core/protect/plan.h"
#include "core/protect/stage_context.h"
#include "core/protect/visibility_limit.h"
#include "core/surrogate/surrogate.h"

namespace antidiffusion {

// What a step may change. The pointers may be null.
struct StepRules {
  at::Tensor centre;  // [1,3,H,W], of the budget
  at::Tensor budget;  // on [-1,1], of each pixel: [1,1,H,W] or [1,1,1,1]
  const FrequencyWeight* weight = nullptr;
  const VisibilityLimit* limit = nullptr;
};

// Block `block` of plan.pgd. Each step: image += step_size * sign(weighted gradient of the
// objective), then clamped to the budget around the centre and to [-1,1], and by the limit kept out
// of sight. The gradient of a step is the sum over its draws, and momentum adds the earlier ones,
// each divided by its mean magnitude (Dong et al. 2018, MI-FGSM). Every other draw sees the image
// through JPEG, so that what is found holds with and without it. `image` [1,3,H,W]; returns the new
// image, detached. CANCELLED, DEADLINE_EXCEEDED; INTERNAL: a loss or a gradient that is not finite.
absl::StatusOr<at::Tensor> AscendImage(const Surrogate& model, const ImageObjective& objective,
                                       const at::Tensor& image, const StepRules& rules,
                                       const Conditioning& conditioning, const Plan& plan,
                                       int block, StageContext& context);

}  // namespace antidiffusion
