// Prompt tuning (PT): finds the embedding that describes the image to the model as it is now.
#pragma once

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "core/protect/stage_context.h"
#include "core/surrogate/stable_diffusion.h"

namespace antidiffusion {

struct PromptTuningOptions {
  int steps = 30;
  double learning_rate = 1e-3;
  LossTarget target = LossTarget::kByPredictionType;
  bool gather_weight_gradients = false;  // leave those of all steps in the UNet's weights
};

// Lowers the denoising loss of one sample of `posterior` by AdamW (fresh state, weight decay 1e-2)
// on `embedding` [1,T,D]; returns the new one, detached. CANCELLED, DEADLINE_EXCEEDED.
absl::StatusOr<at::Tensor> TunePrompt(StableDiffusion& model, const LatentPosterior& posterior,
                                      const at::Tensor& embedding,
                                      const PromptTuningOptions& options, StageContext& context);

}  // namespace antidiffusion
