#include "core/protect/released_script.h"

namespace antidiffusion {
namespace {

// Whether the weight gradients of this block are still there when surrogate tuning begins.
bool GoesStale(const Plan& plan, int block) {
  return plan.surrogate_tuning.stale_gradients && plan.surrogate_tuning.steps > 0 &&
         block < plan.epochs;
}

}  // namespace

void ActAsReleased(Plan& plan) {
  // Each block of PGD holds the budget around the image that enters it, so the whole change may
  // grow with the number of blocks.
  plan.pgd.centre_on_original = false;
  // TUNE begins with gradients in the weights that earlier stages left (see the header).
  plan.surrogate_tuning.stale_gradients = true;
  // Its clipping is given an iterator that is exhausted already, and so clips nothing.
  plan.surrogate_tuning.clip_norm = 0;
  // Attention maps are cut in half along the heads by code written for batches with guidance.
  plan.semantic.all_heads = false;
  // The semantic loss is mean(clamp(100 M, 0, 1)^2), which has no gradient where M > 0.01.
  plan.semantic.form = SemanticForm::kClamped;
  // PT compares the prediction with the noise, also of models that predict a velocity.
  plan.prompt_tuning.target_is_noise = true;
  // A last block of PT is run; nothing uses its result, but its random numbers are drawn.
  plan.prompt_tuning.after_last_pgd = true;
}

bool LeavesWeightGradientsInPgd(const Plan& plan, int block, int step) {
  return GoesStale(plan, block) && step + 1 == plan.pgd.steps;
}

bool LeavesWeightGradientsInPromptTuning(const Plan& plan, int block) {
  return block > 0 && GoesStale(plan, block);
}

}  // namespace antidiffusion
