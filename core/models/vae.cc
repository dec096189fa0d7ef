#include "core/models/vae.h"

#include <vector>

namespace antidiffusion {
namespace {

constexpr double kNormEps = 1e-6;
constexpr double kMinLogVariance = -30.0;
constexpr double kMaxLogVariance = 20.0;

const VaeConfig& Checked(const VaeConfig& config) {
  TORCH_CHECK(!config.block_out_channels.empty(), "a VAE without levels");
  TORCH_CHECK(config.layers_per_block > 0, "layers_per_block ", config.layers_per_block);
  return config;
}

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

VaeImpl::VaeImpl(const VaeConfig& config, const at::TensorOptions& options)
    : factor_(Checked(config).factor()),
      encoder_(register_module("encoder", VaeEncoder(config, options))) {
  if (config.use_quant_conv) {
    const int64_t moments = 2 * config.latent_channels;
    quant_conv_ =
        register_module("quant_conv", Conv2d(Conv2dShape{moments, moments, 1, 1, 0}, options));
  }
}

Posterior VaeImpl::encode(const torch::Tensor& image) {
  TORCH_CHECK(image.dim() == 4 && image.size(2) % factor_ == 0 && image.size(3) % factor_ == 0,
              "an image of ", image.sizes(), " for a VAE of factor ", factor_);
  torch::Tensor moments = encoder_(image);
  if (quant_conv_) moments = quant_conv_(moments);
  const std::vector<torch::Tensor> halves = moments.to(at::kFloat).chunk(2, 1);
  return {halves[0], halves[1].clamp(kMinLogVariance, kMaxLogVariance)};
}

}  // namespace antidiffusion
