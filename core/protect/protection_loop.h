// The protection of one image at the size the model works at: the algorithm itself, on tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "absl/status/statusor.h"
#include "core/protect/method_table.h"
#include "core/protect/mode_rules.h"
#include "core/protect/schedule.h"
#include "core/protect/stage_context.h"
#include "core/surrogate/stable_diffusion.h"
#include "core/surrogate/unet_snapshot.h"

namespace antidiffusion {

struct ProtectionPlan {
  MethodStages stages;
  ModeRules rules;
  Schedule schedule;
  SemanticOptions semantic;
  std::string prompt;
  bool tie_channels = false;  // the image is grey: keep its channels equal
};

ProtectionPlan MakePlan(const ProtectionOptions& options, bool grey);

// `original` [1,3,H,W] in [-1,1] on the model's device, sides as WorkGrid has them -> the protected
// image, detached. `pristine` is the UNet as loaded: its weights are bit-identical to that on every
// way out, also by an exception. CANCELLED, DEADLINE_EXCEEDED; INTERNAL: a loss or a gradient that
// is not a number; INVALID_ARGUMENT: options.semantic_layers that the model has not.
absl::StatusOr<at::Tensor> RunProtection(StableDiffusion& model, UNetSnapshot& pristine,
                                         const at::Tensor& original, const ProtectionPlan& plan,
                                         StageContext& context);

}  // namespace antidiffusion
