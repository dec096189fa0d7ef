// What distinguishes the modes, as values of the same code (docs/algorithm.md, "Two modes").
#pragma once

#include "core/api/options.h"

namespace antidiffusion {

struct ModeRules {
  // The budget's centre in every PGD phase: the original, or the image that enters the phase (the
  // total change may then grow with the number of phases).
  bool centre_on_original = true;
  // Surrogate tuning starts from the weight gradients that the last PGD step and the prompt tuning
  // after it left behind, instead of from zero.
  bool stale_gradients = false;
  // Largest total norm of the weights' gradients in surrogate tuning; 0: not clipped.
  double clip_norm = 1.0;
  // Heads of each captured layer that count in the semantic loss: all, or the second half.
  bool all_heads = true;
  // Semantic loss: mean(clamp(100 M, 0, 1)^2) instead of T * mean(M^2).
  bool clamped_semantic_loss = false;
  // Prompt tuning compares with the noise whatever the model predicts.
  bool prompt_target_is_noise = false;
  // Run the prompt tuning after the last PGD phase (its result is not used, its draws happen).
  bool last_prompt_tuning = false;
};

ModeRules RulesOf(Mode mode);

}  // namespace antidiffusion
