#pragma once

#include "core/models/config.h"
#include "core/models/layers.h"
#include "core/models/vae_blocks.h"

namespace antidiffusion {

// A diagonal Gaussian over latents, not yet scaled: each [B,C,h,w] float32; logvar clamped to
// [-30, 20].
struct Posterior {
  torch::Tensor mean;
  torch::Tensor logvar;
};

// AutoencoderKL. f = 2^(levels - 1) pixels a latent cell. Throws c10::Error on a wrong shape.
class VaeImpl : public torch::nn::Module {
 public:
  // Parameters are left uninitialised, on the device of `options` (see layers.h).
  explicit VaeImpl(const VaeConfig& config, const at::TensorOptions& options = {});

  // image [B,3,H,W] in [-1,1], H and W multiples of f.
  Posterior encode(const torch::Tensor& image);

  // latent [B,C,h,w], divided by the scaling factor already -> image [B,3,h*f,w*f], about [-1,1].
  torch::Tensor decode(const torch::Tensor& latent);

 private:
  int64_t factor_;
  VaeEncoder encoder_;
  VaeDecoder decoder_;
  Conv2d quant_conv_, post_quant_conv_;
};
TORCH_MODULE(Vae);

}  // namespace antidiffusion
