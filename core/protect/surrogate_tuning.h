// Surrogate tuning (TUNE): moves the UNet as an attacker who trains on the image would.
#pragma once

#include <ATen/core/Tensor.h>

#include "absl/status/status.h"
#include "core/protect/stage_context.h"
#include "core/surrogate/stable_diffusion.h"

namespace antidiffusion {

struct SurrogateTuningOptions {
  int steps = 20;
  double learning_rate = 5e-7;
  double weight_decay = 1e-2;
  double clip_norm = 1.0;       // of all weights' gradients together; 0: not clipped
  bool start_from_zero = true;  // false: the gradients found are added to those of the first step
};

// Lowers the denoising loss of samples of `posterior` (a fresh one each step) by AdamW (fresh
// state) on all weights of the UNet, in place. Leaves no gradient. CANCELLED, DEADLINE_EXCEEDED.
absl::Status TuneSurrogate(StableDiffusion& model, const LatentPosterior& posterior,
                           const at::Tensor& embedding, const SurrogateTuningOptions& options,
                           StageContext& context);

}  // namespace antidiffusion
