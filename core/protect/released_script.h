// What the script that the authors of Anti-Diffusion released does when it is run, where that is
// not what their paper says (docs/algorithm.md, "Two modes"). All of it is here; the stages know
// the values of a Plan alone.
#pragma once

#include "core/protect/plan.h"

namespace antidiffusion {

// Changes a plan of Mode::kPaper into one of Mode::kReleased.
void ActAsReleased(Plan& plan);

// Whether a step is to leave gradients in the UNet's weights: the script clears them nowhere but
// before the optimiser's steps of TUNE, so the first of those adds what the steps before it left.
// These are the last step of the PGD block before it (whose loss clears them in its first lines)
// and, from block 1 on, every step of the PT block after that one. Blocks are numbered from 0,
// steps within their block. Gradients that nothing will read are not asked for.
bool LeavesWeightGradientsInPgd(const Plan& plan, int block, int step);
bool LeavesWeightGradientsInPromptTuning(const Plan& plan, int block);

}  // namespace antidiffusion
