#include "core/models/unet.h"

#include <algorithm>
#include <string>
#include <vector>

namespace antidiffusion {
namespace {

constexpr int64_t kTimeFactor = 4;
constexpr int64_t kTimeIds = 6;

// Block types of up blocks are listed from the last level on.
const std::string& UpBlockType(const UNetConfig& config, size_t level) {
  return config.up_block_types[config.up_block_types.size() - 1 - level];
}

const UNetConfig& Checked(const UNetConfig& config) {
  const size_t levels = config.block_out_channels.size();
  TORCH_CHECK(levels > 0, "a UNet without levels");
  for (const size_t entries :
       {config.down_block_types.size(), config.up_block_types.size(), config.attention_heads.size(),
        config.layers_per_block.size(), config.transformer_layers.size()}) {
    TORCH_CHECK(entries == levels, "a list of ", entries, " entries in a UNet of ", levels,
                " levels");
  }
  for (size_t level = 0; level < levels; ++level) {
    const std::string& down = config.down_block_types[level];
    const std::string& up = UpBlockType(config, level);
    TORCH_CHECK(down == UNetConfig::kCrossDown || down == "DownBlock2D", "unknown block type ",
                down);
    TORCH_CHECK(up == UNetConfig::kCrossUp || up == "UpBlock2D", "unknown block type ", up);
    TORCH_CHECK(config.layers_per_block[level] > 0, "layers_per_block ",
                config.layers_per_block[level]);
  }
  TORCH_CHECK(!config.has_added_embedding() || config.pooled_dim() > 0,
              "projection_class_embeddings_input_dim ",
              config.projection_class_embeddings_input_dim, " with addition_time_embed_dim ",
              config.addition_time_embed_dim);
  return config;
}

LevelShape ShapeOfLevel(const UNetConfig& config, size_t level) {
  const int64_t channels = config.block_out_channels[level];
  LevelShape shape;
  shape.resnet.time_channels = kTimeFactor * config.block_out_channels[0];
  shape.resnet.norm_groups = config.norm_num_groups;
  shape.resnet.norm_eps = config.norm_eps;
  shape.transformer = {channels,
                       config.attention_heads[level],
                       config.cross_attention_dim,
                       config.norm_num_groups,
                       config.use_linear_projection,
                       config.transformer_layers[level]};
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
  if (config.has_added_embedding()) {
    add_embedding_ = register_module("add_embedding",
                                     TimestepEmbedding(config.projection_class_embeddings_input_dim,
                                                       kTimeFactor * channels[0], options));
  }
  for (size_t level = 0; level < levels; ++level) {
    LevelShape shape = ShapeOfLevel(config, level);
    shape.cross_attention = config.down_block_types[level] == UNetConfig::kCrossDown;
    shape.resnets = config.layers_per_block[level];
    down_blocks_->Add(UNetDownBlock(shape, channels[level == 0 ? 0 : level - 1], channels[level],
                                    level + 1 < levels, options));
  }
  if (config.has_mid_block) {
    mid_block_ = register_module(
        "mid_block", UNetMidBlock(ShapeOfLevel(config, levels - 1), channels.back(), options));
  }
  for (size_t i = 0; i < levels; ++i) {
    const size_t level = levels - 1 - i;
    LevelShape shape = ShapeOfLevel(config, level);
    shape.cross_attention = UpBlockType(config, level) == UNetConfig::kCrossUp;
    shape.resnets = config.layers_per_block[level] + 1;
    const UpBlockChannels sides{channels[std::min(level + 1, levels - 1)], channels[level],
                                channels[level == 0 ? 0 : level - 1]};
    up_blocks_->Add(UNetUpBlock(shape, sides, level > 0, options));
  }
}

torch::Tensor UNetImpl::TimeEmbedding(const torch::Tensor& timestep,
                                      const AddedConditioning* added) {
  const auto sinusoid = [this](const torch::Tensor& numbers, int64_t channels) {
    return TimestepSinusoid(numbers, channels, config_.flip_sin_to_cos, config_.freq_shift);
  };
  torch::Tensor time = time_embedding_(sinusoid(timestep, config_.block_out_channels[0]));
  TORCH_CHECK((added != nullptr) == !add_embedding_.is_empty(), "this UNet ",
              added != nullptr ? "takes no" : "needs", " pooled embedding and time ids");
  if (added != nullptr) {
    TORCH_CHECK(added->time_ids.dim() == 2 && added->time_ids.size(1) == kTimeIds, "time ids of ",
                added->time_ids.sizes());
    const torch::Tensor ids =
        sinusoid(added->time_ids.reshape({-1}), config_.addition_time_embed_dim)
            .view({added->time_ids.size(0), -1});
    time = time + add_embedding_(at::cat({added->pooled, ids}, 1));
  }
  return at::silu(time);
}

torch::Tensor UNetImpl::forward(const torch::Tensor& sample, const torch::Tensor& timestep,
                                const torch::Tensor& context, AttentionCapture* capture,
                                const AddedConditioning* added) {
  const torch::Tensor time = TimeEmbedding(timestep, added);
  torch::Tensor h = conv_in_(sample);
  std::vector<torch::Tensor> skips = {h};
  const size_t levels = down_blocks_->size();
  for (size_t level = 0; level < levels; ++level) {
    AttentionCapture* here = CaptureAt(level, capture);
    h = (*down_blocks_)[level](h, time, context, here, skips);
  }
  if (mid_block_) {
    const bool at_mid = capture != nullptr && capture->layers.mid;
    h = mid_block_(h, time, context, at_mid ? capture : nullptr);
  }
  for (size_t i = 0; i < levels; ++i) {
    AttentionCapture* here = CaptureAt(levels - 1 - i, capture);
    h = (*up_blocks_)[i](h, time, context, here, skips);
  }
  return conv_out_(at::silu(conv_norm_out_(h)));
}

bool HasCrossAttention(const UNetConfig& config, const CapturedLayers& layers) {
  if (layers.mid && config.has_mid_block) return true;
  for (size_t level = 0; level < config.down_block_types.size(); ++level) {
    if (!layers.HasLevel(level)) continue;
    if (config.down_block_types[level] == UNetConfig::kCrossDown) return true;
    if (UpBlockType(config, level) == UNetConfig::kCrossUp) return true;
  }
  return false;
}

}  // namespace antidiffusion
