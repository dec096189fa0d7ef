// The published methods as named presets: which stages run, and what PGD raises. What an objective
// needs of a model.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/api/options.h"

namespace antidiffusion {

struct MethodPreset {
  bool prompt_tuning = false;  // without it the prompt is fixed
  bool surrogate_tuning = false;
  std::span<const ObjectiveTerm> objectives = {};  // empty: no stage at all, uniform noise
};

// Sources:
//   Anti-Diffusion   Zheng et al. 2025, with its ablations
//   AdvDM            Liang et al. 2023: PGD on the denoising loss
//   PhotoGuard       Salman et al. 2023: PGD on the encoder alone, no UNet pass, no random number
//   Mist             Liang & Wu 2023: both, the encoder's part weighted as published (1e4 times the
//                    denoising loss against a sum of squares over 4 * 64 * 64 latent values)
//   Anti-DreamBooth  Van Le et al. 2023 (ASPL): surrogate tuning and PGD in turn
//   SDS              Xue et al. 2024: AdvDM without the gradient through the UNet
MethodPreset PresetOf(Method method);

// What PGD raises: `options.objectives`, or those of the method where there are none; and kAway of
// weight 1 where `also` is given and nothing in that list compares latents. Empty: uniform noise.
std::vector<ObjectiveTerm> ObjectivesOf(const ProtectionOptions& options);

// Whether the term needs a pass of the UNet (kDenoising, kScoreDistillation, kSemantic,
// kImageGuidance), or compares latents of encoders (kAway, kNorm, kTarget). One of the two holds.
bool NeedsUNet(Objective objective);
bool ComparesLatents(Objective objective);

// As in the options' names: anti_diffusion, ...; denoising, score_distillation, ...
std::string MethodName(Method method);
std::string ObjectiveName(Objective objective);

}  // namespace antidiffusion
