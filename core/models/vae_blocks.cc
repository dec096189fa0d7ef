#include "core/models/vae_blocks.h"

namespace antidiffusion {
namespace {

constexpr double kNormEps = 1e-6;

ResnetBlock2D MakeResnet(int64_t in, int64_t out, int64_t norm_groups,
                         const at::TensorOptions& options) {
  return ResnetBlock2D(ResnetShape{in, out, 0, norm_groups, kNormEps}, options);
}

}  // namespace

VaeAttentionImpl::VaeAttentionImpl(int64_t channels, int64_t norm_groups,
                                   const at::TensorOptions& options)
    : AttentionImpl(AttentionShape{channels, channels, 1, true}, options),
      group_norm_(
          register_module("group_norm", GroupNorm(norm_groups, channels, kNormEps, options))) {}

torch::Tensor VaeAttentionImpl::forward(const torch::Tensor& x) {
  const int64_t batch = x.size(0), channels = x.size(1), height = x.size(2), width = x.size(3);
  const torch::Tensor h =
      group_norm_(x).permute({0, 2, 3, 1}).reshape({batch, height * width, channels});
  const torch::Tensor attended = AttentionImpl::forward(h, h);
  return x + attended.view({batch, height, width, channels}).permute({0, 3, 1, 2});
}

VaeMidBlockImpl::VaeMidBlockImpl(int64_t channels, int64_t norm_groups,
                                 const at::TensorOptions& options)
    : resnets_(register_module("resnets", MakeNumbered<ResnetBlock2D>())),
      attentions_(register_module("attentions", MakeNumbered<VaeAttention>())) {
  resnets_->Add(MakeResnet(channels, channels, norm_groups, options));
  resnets_->Add(MakeResnet(channels, channels, norm_groups, options));
  attentions_->Add(VaeAttention(channels, norm_groups, options));
}

torch::Tensor VaeMidBlockImpl::forward(const torch::Tensor& x) {
  return (*resnets_)[1]((*attentions_)[0]((*resnets_)[0](x)));
}

VaeDownBlockImpl::VaeDownBlockImpl(const VaeConfig& config, int64_t in, int64_t out,
                                   bool downsample, const at::TensorOptions& options)
    : resnets_(register_module("resnets", MakeNumbered<ResnetBlock2D>())) {
  for (int64_t i = 0; i < config.layers_per_block; ++i) {
    resnets_->Add(MakeResnet(i == 0 ? in : out, out, config.norm_num_groups, options));
  }
  if (downsample) {
    downsamplers_ = register_module("downsamplers", MakeNumbered<Downsample2D>());
    downsamplers_->Add(Downsample2D(out, Downsample2DImpl::Padding::kFarSides, options));
  }
}

torch::Tensor VaeDownBlockImpl::forward(const torch::Tensor& x) {
  torch::Tensor h = x;
  for (ResnetBlock2D& resnet : *resnets_) h = resnet(h);
  return downsamplers_ ? (*downsamplers_)[0](h) : h;
}

VaeUpBlockImpl::VaeUpBlockImpl(const VaeConfig& config, int64_t in, int64_t out, bool upsample,
                               const at::TensorOptions& options)
    : resnets_(register_module("resnets", MakeNumbered<ResnetBlock2D>())) {
  for (int64_t i = 0; i < config.layers_per_block + 1; ++i) {
    resnets_->Add(MakeResnet(i == 0 ? in : out, out, config.norm_num_groups, options));
  }
  if (upsample) {
    upsamplers_ = register_module("upsamplers", MakeNumbered<Upsample2D>());
    upsamplers_->Add(Upsample2D(out, options));
  }
}

torch::Tensor VaeUpBlockImpl::forward(const torch::Tensor& x) {
  torch::Tensor h = x;
  for (ResnetBlock2D& resnet : *resnets_) h = resnet(h);
  return upsamplers_ ? (*upsamplers_)[0](h, 2 * h.size(2), 2 * h.size(3)) : h;
}

VaeEncoderImpl::VaeEncoderImpl(const VaeConfig& config, const at::TensorOptions& options)
    : conv_in_(register_module(
          "conv_in",
          Conv2d(Conv2dShape{config.in_channels, config.block_out_channels.front()}, options))),
      down_blocks_(register_module("down_blocks", MakeNumbered<VaeDownBlock>())),
      mid_block_(register_module("mid_block", VaeMidBlock(config.block_out_channels.back(),
                                                          config.norm_num_groups, options))),
      conv_norm_out_(register_module(
          "conv_norm_out",
          GroupNorm(config.norm_num_groups, config.block_out_channels.back(), kNormEps, options))),
      conv_out_(register_module("conv_out", Conv2d(Conv2dShape{config.block_out_channels.back(),
                                                               2 * config.latent_channels},
                                                   options))) {
  const std::vector<int64_t>& channels = config.block_out_channels;
  for (size_t level = 0; level < channels.size(); ++level) {
    down_blocks_->Add(VaeDownBlock(config, channels[level == 0 ? 0 : level - 1], channels[level],
                                   level + 1 < channels.size(), options));
  }
}

torch::Tensor VaeEncoderImpl::forward(const torch::Tensor& image) {
  torch::Tensor h = conv_in_(image);
  for (VaeDownBlock& block : *down_blocks_) h = block(h);
  return conv_out_(at::silu(conv_norm_out_(mid_block_(h))));
}

VaeDecoderImpl::VaeDecoderImpl(const VaeConfig& config, const at::TensorOptions& options)
    : conv_in_(register_module(
          "conv_in",
          Conv2d(Conv2dShape{config.latent_channels, config.block_out_channels.back()}, options))),
      mid_block_(register_module("mid_block", VaeMidBlock(config.block_out_channels.back(),
                                                          config.norm_num_groups, options))),
      up_blocks_(register_module("up_blocks", MakeNumbered<VaeUpBlock>())),
      conv_norm_out_(register_module(
          "conv_norm_out",
          GroupNorm(config.norm_num_groups, config.block_out_channels.front(), kNormEps, options))),
      conv_out_(register_module(
          "conv_out",
          Conv2d(Conv2dShape{config.block_out_channels.front(), config.out_channels}, options))) {
  const std::vector<int64_t>& channels = config.block_out_channels;
  for (size_t i = 0; i < channels.size(); ++i) {
    const size_t level = channels.size() - 1 - i;
    const int64_t from_below = i == 0 ? channels[level] : channels[level + 1];
    up_blocks_->Add(VaeUpBlock(config, from_below, channels[level], level > 0, options));
  }
}

torch::Tensor VaeDecoderImpl::forward(const torch::Tensor& latent) {
  torch::Tensor h = mid_block_(conv_in_(latent));
  for (VaeUpBlock& block : *up_blocks_) h = block(h);
  return conv_out_(at::silu(conv_norm_out_(h)));
}

}  // namespace antidiffusion
