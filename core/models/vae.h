#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "core/models/config.h"

namespace antidiffusion {

// A diagonal Gaussian over latents, not yet scaled: each [B,C,h,w]; logvar clamped to [-30, 20].
struct Posterior {
  torch::Tensor mean;
  torch::Tensor logvar;
};

// AutoencoderKL. f = 2^(levels - 1) pixels a latent cell.
class VaeImpl : public torch::nn::Module {
 public:
  explicit VaeImpl(const VaeConfig& config);

  // image [B,3,H,W] in [-1,1], H and W multiples of f.
  Posterior encode(const torch::Tensor& image);

  // latent [B,C,h,w], divided by the scaling factor already -> image [B,3,h*f,w*f], about [-1,1].
  torch::Tensor decode(const torch::Tensor& latent);
};
TORCH_MODULE(Vae);

}  // namespace antidiffusion
