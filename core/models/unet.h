#pragma once

#include "core/models/attention_capture.h"
#include "core/models/config.h"
#include "core/models/layers.h"
#include "core/models/resnet.h"
#include "core/models/unet_blocks.h"

namespace antidiffusion {

// What a UNet with an added embedding (SDXL) is conditioned on beside the context.
struct AddedConditioning {
  torch::Tensor pooled;    // [B,P], the pooled text embedding, P = UNetConfig::pooled_dim()
  torch::Tensor time_ids;  // [B,6] float: original height and width, top, left, target's sides
};

// Predicts the noise (or v) in a latent: UNet2DConditionModel of Stable Diffusion 1.x, 2.x and XL.
// Parameter names equal the checkpoint's keys, so there is no name map. Throws c10::Error on a
// wrong shape, and on a configuration that does not add up.
class UNetImpl : public torch::nn::Module {
 public:
  // Parameters are left uninitialised, on the device of `options` (see layers.h).
  explicit UNetImpl(const UNetConfig& config, const at::TensorOptions& options = {});

  // B batch, h w latent sides, T tokens, D = cross_attention_dim: sample [B,in_channels,h,w] float
  // (the noisy latent, and after it what else the model is fed), timestep [B] int64, context
  // [B,T,D] -> [B,out_channels,h,w]. A non-null `capture` receives this pass's cross-attention
  // probabilities in its layers. `added` is required with an added embedding, else it must be null.
  torch::Tensor forward(const torch::Tensor& sample, const torch::Tensor& timestep,
                        const torch::Tensor& context, AttentionCapture* capture = nullptr,
                        const AddedConditioning* added = nullptr);

 private:
  // [B,4*C0] after its SiLU, C0 the first level's channels: what all resnets are given.
  torch::Tensor TimeEmbedding(const torch::Tensor& timestep, const AddedConditioning* added);

  UNetConfig config_;
  Conv2d conv_in_;
  TimestepEmbedding time_embedding_;
  TimestepEmbedding add_embedding_{nullptr};  // null without an added embedding
  Numbered<UNetDownBlock> down_blocks_;
  UNetMidBlock mid_block_{nullptr};  // null without `has_mid_block`
  Numbered<UNetUpBlock> up_blocks_;
  GroupNorm conv_norm_out_;
  Conv2d conv_out_;
};
TORCH_MODULE(UNet);

// Whether a UNet of this configuration has cross-attention in at least one block of `layers`.
bool HasCrossAttention(const UNetConfig& config, const CapturedLayers& layers);

}  // namespace antidiffusion
