#include "core/models/unet.h"

#include <algorithm>
#include <string>
#include <vector>

namespace antidiffusion {
namespace {

constexpr int64_t kTimeFactor = 4;

// Whether a level of type `name` has cross-attention, out of its two possible names.
bool HasCrossAttention(const std::string& name, const char* plain, const char* cross) {
  TORCH_CHECK(name == plain || name == cross, "UNet block type ", name, " is neither ", plain,
              " nor ", cross);
  return name == cross;
}

const UNetConfig& Checked(const UNetConfig& config) {
  const size_t levels = config.block_out_channels.size();
  TORCH_CHECK(levels > 0, "a UNet without levels");
  TORCH_CHECK(config.down_block_types.size() == levels && config.up_block_types.size() == levels &&
                  config.attention_heads.size() == levels,
              "down_block_types, up_block_types and attention_head_dim must have ", levels,
              " entries, one a level");
  TORCH_CHECK(config.layers_per_block > 0, "layers_per_block ", config.layers_per_block);
  return config;
}

LevelShape ShapeOfLevel(const UNetConfig& config, size_t level) {
  const int64_t channels = config.block_out_channels[level];
  LevelShape shape;
  shape.resnet.time_channels = kTimeFactor * config.block_out_channels[0];
  shape.resnet.norm_groups = config.norm_num_groups;
  shape.resnet.norm_eps = config.norm_eps;
  shape.transformer = {channels, config.attention_heads[level], config.cross_attention_dim,
                       config.norm_num_groups, config.use_linear_projection};
  return shape;
}

AttentionCapture* CaptureAt(size_t level, AttentionCapture* capture) {
  return capture != nullptr && capture->layers.HasLevel(level) ? capture : nullptr;
}

}  // namespace

UNetImpl::UNetImpl(const UNetConfig& config, const at::TensorOptions& options)
    : config_(Checked(config)),
      conv_in_(register_module(
          "conv_in",
          Conv2d(Conv2dShape{config.in_channels, config.block_out_channels[0]}, options))),
      time_embedding_(
          register_module("time_embedding",
                          TimestepEmbedding(config.block_out_channels[0],
                                            kTimeFactor * config.block_out_channels[0], options))),
      down_blocks_(register_module("down_blocks", MakeNumbered<UNetDownBlock>())),
      up_blocks_(register_module("up_blocks", MakeNumbered<UNetUpBlock>())),
      conv_norm_out_(register_module("conv_norm_out",
                                     GroupNorm(config.norm_num_groups, config.block_out_channels[0],
                                               config.norm_eps, options))),
      conv_out_(register_module(
          "conv_out",
          Conv2d(Conv2dShape{config.block_out_channels[0], config.out_channels}, options))) {
  const std::vector<int64_t>& channels = config.block_out_channels;
  const size_t levels = channels.size();
  for (size_t level = 0; level < levels; ++level) {
    LevelShape shape = ShapeOfLevel(config, level);
    shape.cross_attention =
        HasCrossAttention(config.down_block_types[level], "DownBlock2D", "CrossAttnDownBlock2D");
    shape.resnets = config.layers_per_block;
    down_blocks_->Add(UNetDownBlock(shape, channels[level == 0 ? 0 : level - 1], channels[level],
                                    level + 1 < levels, options));
  }
  mid_block_ = register_module(
      "mid_block", UNetMidBlock(ShapeOfLevel(config, levels - 1), channels.back(), options));
  for (size_t i = 0; i < levels; ++i) {
    const size_t level = levels - 1 - i;
    LevelShape shape = ShapeOfLevel(config, level);
    shape.cross_attention =
        HasCrossAttention(config.up_block_types[i], "UpBlock2D", "CrossAttnUpBlock2D");
    shape.resnets = config.layers_per_block + 1;
    const UpBlockChannels sides{channels[std::min(level + 1, levels - 1)], channels[level],
                                channels[level == 0 ? 0 : level - 1]};
    up_blocks_->Add(UNetUpBlock(shape, sides, level > 0, options));
  }
}

torch::Tensor UNetImpl::forward(const torch::Tensor& latent, const torch::Tensor& timestep,
                                const torch::Tensor& context, AttentionCapture* capture) {
  const torch::Tensor sinusoid = TimestepSinusoid(timestep, config_.block_out_channels[0],
                                                  config_.flip_sin_to_cos, config_.freq_shift);
  const torch::Tensor time = at::silu(time_embedding_(sinusoid));
  torch::Tensor h = conv_in_(latent);
  std::vector<torch::Tensor> skips = {h};
  const size_t levels = down_blocks_->size();
  for (size_t level = 0; level < levels; ++level) {
    AttentionCapture* here = CaptureAt(level, capture);
    h = (*down_blocks_)[level](h, time, context, here, skips);
  }
  const bool at_mid = capture != nullptr && capture->layers.mid;
  h = mid_block_(h, time, context, at_mid ? capture : nullptr);
  for (size_t i = 0; i < levels; ++i) {
    AttentionCapture* here = CaptureAt(levels - 1 - i, capture);
    h = (*up_blocks_)[i](h, time, context, here, skips);
  }
  return conv_out_(at::silu(conv_norm_out_(h)));
}

bool HasCrossAttention(const UNetConfig& config, const CapturedLayers& layers) {
  if (layers.mid) return true;
  const std::vector<std::string>& up = config.up_block_types;  // from the last level on
  for (size_t level = 0; level < config.down_block_types.size(); ++level) {
    if (!layers.HasLevel(level)) continue;
    if (config.down_block_types[level] == "CrossAttnDownBlock2D") return true;
    if (up[up.size() - 1 - level] == "CrossAttnUpBlock2D") return true;
  }
  return false;
}

}  // namespace antidiffusion
