// The protection of one image at the size the model works at: the algorithm itself, on tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "absl/status/statusor.h"
#include "core/protect/plan.h"
#include "core/protect/stage_context.h"
#include "core/surrogate/surrogate.h"

namespace antidiffusion {

// A piece of an image at the size that it is worked on.
struct WorkPiece {
  at::Tensor original;   // [1,3,H,W] in [-1,1] on the model's device, sides as WorkGrid has them
  double scale = 1;      // pixels of the image for one of `original`'s
  at::Tensor room = {};  // [1,1,H,W], each pixel's share of the budget; undefined: the whole
};

// -> the protected piece, detached. `others`: the encoders of options.also. The model's weights are
// bit-identical to those loaded on every way out, also when torch throws, but for one: INTERNAL
// with the reason WEIGHTS_NOT_RESTORED, whatever else had happened. Other errors: CANCELLED,
// DEADLINE_EXCEEDED; INTERNAL: a loss or a gradient that is not finite, or what torch threw;
// RESOURCE_EXHAUSTED.
absl::StatusOr<at::Tensor> RunProtection(const Surrogate& model,
                                         const std::vector<LatentEncoder*>& others,
                                         const WorkPiece& piece, const Plan& plan,
                                         StageContext& context);

}  // namespace antidiffusion
