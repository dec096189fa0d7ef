// The published methods as settings of the same stages.
#pragma once

#include "core/api/options.h"

namespace antidiffusion {

// What PGD raises: denoising_weight * denoising loss - weighted semantic loss - encoder_weight *
// distance of the image's latent to the target latent. The target is the latent of a uniform
// mid-grey image (0 on [-1,1]): it holds nothing of the photograph and needs no file.
struct PgdObjective {
  double denoising_weight = 1;
  bool gradient_through_unet = true;  // false: the residual alone is carried to the latent (SDS)
  bool semantic_loss = false;
  double encoder_weight = 0;
};

struct MethodStages {
  bool prompt_tuning = false;  // without it the prompt is fixed
  bool surrogate_tuning = false;
  bool pgd = true;
  bool uniform_noise = false;  // instead of every stage
  PgdObjective objective = {};
};

// Sources:
//   Anti-Diffusion   Zheng et al. 2025, with its ablations
//   AdvDM            Liang et al. 2023: PGD on the denoising loss
//   PhotoGuard       Salman et al. 2023: PGD on the encoder alone, no UNet pass, no random number
//   Mist             Liang & Wu 2023: both, the encoder's part weighted as published (1e4 times the
//                    denoising loss against a sum of squares over 4 * 64 * 64 latent values)
//   Anti-DreamBooth  Van Le et al. 2023 (ASPL): surrogate tuning and PGD in turn
//   SDS              Xue et al. 2024: AdvDM without the gradient through the UNet
MethodStages StagesOf(Method method);

}  // namespace antidiffusion
