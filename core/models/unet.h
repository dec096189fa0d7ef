#pragma once

#include "core/models/attention_capture.h"
#include "core/models/config.h"
#include "core/models/layers.h"
#include "core/models/resnet.h"
#include "core/models/unet_blocks.h"

namespace antidiffusion {

// Predicts the noise (or v) in a latent: UNet2DConditionModel of SD 1.x and 2.x. Parameter names
// equal the checkpoint's keys, so there is no name map. Throws c10::Error on a wrong shape, and on
// a configuration that is not an SD 1.x/2.x UNet.
class UNetImpl : public torch::nn::Module {
 public:
  // Parameters are left uninitialised, on the device of `options` (see layers.h).
  explicit UNetImpl(const UNetConfig& config, const at::TensorOptions& options = {});

  // B batch, h w latent sides, T tokens, D = cross_attention_dim:
  // latent [B,C,h,w] float, timestep [B] int64, context [B,T,D] -> [B,C,h,w].
  // A non-null `capture` receives this pass's cross-attention probabilities in its layers.
  torch::Tensor forward(const torch::Tensor& latent, const torch::Tensor& timestep,
                        const torch::Tensor& context, AttentionCapture* capture = nullptr);

 private:
  UNetConfig config_;
  Conv2d conv_in_;
  TimestepEmbedding time_embedding_;
  Numbered<UNetDownBlock> down_blocks_;
  UNetMidBlock mid_block_{nullptr};
  Numbered<UNetUpBlock> up_blocks_;
  GroupNorm conv_norm_out_;
  Conv2d conv_out_;
};
TORCH_MODULE(UNet);

// Whether a UNet of this configuration has cross-attention in at least one block of `layers`.
bool HasCrossAttention(const UNetConfig& config, const CapturedLayers& layers);

}  // namespace antidiffusion
