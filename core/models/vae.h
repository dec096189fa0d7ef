// The encoder of AutoencoderKL. B batch, C channels, h w latent sides, f pixels a latent cell.
#pragma once

#include "core/models/attention.h"
#include "core/models/config.h"
#include "core/models/layers.h"
#include "core/models/resnet.h"

namespace antidiffusion {

// Self-attention of one head over the positions of a feature map, with a residual around it. The
// keys of attention and norm are siblings in a checkpoint, hence the inheritance.
class VaeAttentionImpl : public AttentionImpl {
 public:
  VaeAttentionImpl(int64_t channels, int64_t norm_groups, const at::TensorOptions& options);

  // x [B,C,h,w] -> [B,C,h,w]
  torch::Tensor forward(const torch::Tensor& x);

 private:
  GroupNorm group_norm_;
};
TORCH_MODULE(VaeAttention);

// UNetMidBlock2D: resnet, attention, resnet.
class VaeMidBlockImpl : public torch::nn::Module {
 public:
  VaeMidBlockImpl(int64_t channels, int64_t norm_groups, const at::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& x);

 private:
  Numbered<ResnetBlock2D> resnets_;
  Numbered<VaeAttention> attentions_;
};
TORCH_MODULE(VaeMidBlock);

// DownEncoderBlock2D.
class VaeDownBlockImpl : public torch::nn::Module {
 public:
  VaeDownBlockImpl(const VaeConfig& config, int64_t in, int64_t out, bool downsample,
                   const at::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& x);

 private:
  Numbered<ResnetBlock2D> resnets_;
  Numbered<Downsample2D> downsamplers_;  // null at the last level
};
TORCH_MODULE(VaeDownBlock);

class VaeEncoderImpl : public torch::nn::Module {
 public:
  VaeEncoderImpl(const VaeConfig& config, const at::TensorOptions& options);

  // [B,3,h*f,w*f] -> [B,2*latent_channels,h,w]: mean and log variance before quant_conv.
  torch::Tensor forward(const torch::Tensor& image);

 private:
  Conv2d conv_in_;
  Numbered<VaeDownBlock> down_blocks_;
  VaeMidBlock mid_block_;
  GroupNorm conv_norm_out_;
  Conv2d conv_out_;
};
TORCH_MODULE(VaeEncoder);

// A diagonal Gaussian over latents, neither shifted nor scaled: each [B,C,h,w] float32; logvar
// clamped to [-30, 20].
struct Posterior {
  torch::Tensor mean;
  torch::Tensor logvar;
};

// AutoencoderKL without its decoder. Parameter names equal the checkpoint's keys; those of
// `decoder.` and `post_quant_conv.` have no counterpart here. Throws c10::Error on a wrong shape.
class VaeImpl : public torch::nn::Module {
 public:
  // Parameters are left uninitialised, on the device of `options` (see layers.h).
  explicit VaeImpl(const VaeConfig& config, const at::TensorOptions& options = {});

  // image [B,3,H,W] in [-1,1], H and W multiples of f = 2^(levels - 1).
  Posterior encode(const torch::Tensor& image);

 private:
  int64_t factor_;
  VaeEncoder encoder_;
  Conv2d quant_conv_{nullptr};  // null without `use_quant_conv`
};
TORCH_MODULE(Vae);

}  // namespace antidiffusion
