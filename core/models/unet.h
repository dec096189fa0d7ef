#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "core/models/attention_capture.h"
#include "core/models/config.h"

namespace antidiffusion {

// Predicts the noise (or v) in a latent: UNet2DConditionModel of SD 1.x and 2.x. Parameter names
// equal the checkpoint's keys, so there is no name map. Throws c10::Error on a wrong shape.
class UNetImpl : public torch::nn::Module {
 public:
  explicit UNetImpl(const UNetConfig& config);

  // B batch, h w latent sides, T tokens, D = cross_attention_dim:
  // latent [B,C,h,w] float, timestep [B] int64, context [B,T,D] -> [B,C,h,w].
  // A non-null `capture` receives this pass's cross-attention probabilities.
  torch::Tensor forward(const torch::Tensor& latent, const torch::Tensor& timestep,
                        const torch::Tensor& context, AttentionCapture* capture = nullptr);
  // (private members: see the sources)
};
TORCH_MODULE(UNet);

}  // namespace antidiffusion
