// The two stages that lower the denoising loss: of the prompt (PT), and of the model (TUNE).
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/protect/plan.h"
#include "core/protect/stage_context.h"
#include "core/surrogate/surrogate.h"

namespace antidiffusion {

// Prompt tuning, block `block`: finds the context [1,T,D] that describes the image to the model as
// it is now, by AdamW (fresh state, weight decay 1e-2) on the loss of one sample of the image's
// posterior. Returns `conditioning` with that context, detached.
// CANCELLED, DEADLINE_EXCEEDED; INTERNAL: a loss that is not finite.
absl::StatusOr<Conditioning> TunePrompt(Denoiser& denoiser, const EncodedImage& image,
                                        const Conditioning& conditioning, const Plan& plan,
                                        int block, StageContext& context);

// Surrogate tuning: moves the UNet as an attacker who trains on the image would, by AdamW (fresh
// state) on all its weights and the loss of a fresh sample of the image's posterior each step, in
// place. Leaves no gradient. The caller restores the weights. Errors as above.
absl::Status TuneSurrogate(Denoiser& denoiser, const EncodedImage& image,
                           const Conditioning& conditioning, const Plan& plan,
                           StageContext& context);

}  // namespace antidiffusion
