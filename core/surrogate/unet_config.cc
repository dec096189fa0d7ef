// What a UNet's config.json says.
#include <algorithm>
#include <cstddef>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/surrogate/config_reader.h"
#include "core/surrogate/model_config.h"

namespace antidiffusion {
namespace {

constexpr int64_t kMaxSide = 1024;
constexpr int64_t kLatentChannels = 4;
constexpr int64_t kTimeIds = 6;

// What a UNet that takes another number of channels is.
std::string KindByInputChannels(int64_t channels) {
  const char* kind = "another kind of model";
  if (channels == 7) kind = "an upscaling model";
  if (channels == 5) kind = "a depth-guided model";
  return absl::StrCat(channels, " belongs to ", kind,
                      "; supported are 4 (text to image), 8 (editing) and 9 (inpainting)");
}

// What only other kinds of UNet use.
void RequirePlainUNet(ConfigReader& reader) {
  for (const char* key :
       {"class_embed_type", "num_class_embeds", "encoder_hid_dim", "encoder_hid_dim_type",
        "time_embedding_dim", "time_embedding_act_fn", "timestep_post_act", "time_cond_proj_dim",
        "cross_attention_norm", "reverse_transformer_layers_per_block"}) {
    reader.Require(key, nullptr);
  }
  for (const char* key :
       {"center_input_sample", "only_cross_attention", "mid_block_only_cross_attention",
        "dual_cross_attention", "resnet_skip_time_act", "class_embeddings_concat"}) {
    reader.Require(key, false);
  }
  for (const char* key :
       {"downsample_padding", "mid_block_scale_factor", "resnet_out_scale_factor"}) {
    reader.Require(key, 1);
  }
  reader.Require("dropout", 0);
  reader.Require("conv_in_kernel", 3);
  reader.Require("conv_out_kernel", 3);
  reader.Require("act_fn", "silu");
  reader.Require("resnet_time_scale_shift", "default");
  reader.Require("time_embedding_type", "positional");
  reader.Require("attention_type", "default");
}

// Which blocks there are, and how deep they are.
void ReadBlocks(ConfigReader& reader, UNetConfig& config) {
  const size_t levels = config.block_out_channels.size();
  config.down_block_types = reader.ChoicePerLevel("down_block_types", config.down_block_types,
                                                  levels, {"DownBlock2D", UNetConfig::kCrossDown});
  config.up_block_types = reader.ChoicePerLevel("up_block_types", config.up_block_types, levels,
                                                {"UpBlock2D", UNetConfig::kCrossUp});
  reader.Choice("mid_block_type", "UNetMidBlock2DCrossAttn", {"UNetMidBlock2DCrossAttn"});
  config.has_mid_block = !reader.IsNull("mid_block_type");
  config.layers_per_block =
      reader.IntPerLevel("layers_per_block", 2, levels, 1, ConfigReader::kMaxLayersPerBlock);
  config.transformer_layers = reader.IntPerLevel("transformer_layers_per_block", 1, levels, 0,
                                                 ConfigReader::kMaxTransformerLayers);
}

// Published files say 0 for a level without transformers, where it has no effect.
void CheckTransformers(ConfigReader& reader, const UNetConfig& config) {
  const size_t levels = config.block_out_channels.size();
  for (size_t level = 0; level < levels; ++level) {
    const bool has_transformers =
        config.down_block_types[level] == UNetConfig::kCrossDown ||
        config.up_block_types[levels - 1 - level] == UNetConfig::kCrossUp ||
        (config.has_mid_block && level + 1 == levels);
    if (has_transformers && config.transformer_layers[level] < 1) {
      reader.Broken("transformer_layers_per_block",
                    absl::StrCat(config.transformer_layers[level], " at level ", level,
                                 ", which has transformers"));
    }
  }
}

// The embedding of SDXL that is added to the time embedding.
void ReadAddedEmbedding(ConfigReader& reader, UNetConfig& config) {
  if (!reader.Has("addition_embed_type")) return;
  reader.Choice("addition_embed_type", "", {"text_time"});
  const int64_t width = reader.Int("addition_time_embed_dim", 0, 0, ConfigReader::kMaxChannels);
  const int64_t input = reader.Int("projection_class_embeddings_input_dim", 0, 0,
                                   (kTimeIds + 1) * ConfigReader::kMaxChannels);
  if (width < 2 || width % 2 != 0) {
    reader.Broken("addition_time_embed_dim", absl::StrCat(width, " is not an even number from 2"));
  }
  if (input <= kTimeIds * width) {
    reader.Broken("projection_class_embeddings_input_dim",
                  absl::StrCat(input, " leaves nothing for the pooled text beside ", kTimeIds,
                               " numbers of ", width));
  }
  config.addition_time_embed_dim = width;
  config.projection_class_embeddings_input_dim = input;
}

void ReadChannels(ConfigReader& reader, UNetConfig& config) {
  config.in_channels = reader.Int("in_channels", config.in_channels, 1, ConfigReader::kMaxChannels);
  if (config.in_channels != kLatentChannels && config.in_channels != 8 && config.in_channels != 9) {
    reader.Unsupported("in_channels", KindByInputChannels(config.in_channels));
  }
  config.out_channels =
      reader.Int("out_channels", config.out_channels, 1, ConfigReader::kMaxChannels);
  reader.Require("out_channels", kLatentChannels);
}

}  // namespace

absl::StatusOr<UNetConfig> ParseUNetConfig(const nlohmann::json& json, const std::string& file) {
  ConfigReader reader(json, file);
  reader.Require("_class_name", "UNet2DConditionModel");
  UNetConfig config;
  ReadAddedEmbedding(reader, config);
  ReadChannels(reader, config);
  RequirePlainUNet(reader);
  config.block_out_channels = reader.IntList("block_out_channels", config.block_out_channels, 1,
                                             ConfigReader::kMaxChannels);
  const size_t levels = config.block_out_channels.size();
  ReadBlocks(reader, config);
  config.sample_size = reader.ShorterSide("sample_size", config.sample_size, 1, kMaxSide);
  config.cross_attention_dim = reader.UniformInt("cross_attention_dim", config.cross_attention_dim,
                                                 1, ConfigReader::kMaxChannels);
  const char* heads_key =
      reader.Has("num_attention_heads") ? "num_attention_heads" : "attention_head_dim";
  config.attention_heads = reader.IntPerLevel(heads_key, 8, levels, 1, ConfigReader::kMaxChannels);
  config.norm_num_groups =
      reader.Int("norm_num_groups", config.norm_num_groups, 1, ConfigReader::kMaxChannels);
  config.norm_eps = reader.Number("norm_eps", config.norm_eps, 0.0, 1.0);
  config.use_linear_projection = reader.Bool("use_linear_projection", config.use_linear_projection);
  reader.Bool("upcast_attention", false);  // no effect: the softmax is float32
  config.flip_sin_to_cos = reader.Bool("flip_sin_to_cos", config.flip_sin_to_cos);
  config.freq_shift = reader.Int("freq_shift", config.freq_shift, 0, 1);
  AD_RETURN_IF_ERROR(reader.status());
  CheckTransformers(reader, config);
  for (size_t level = 0; level < levels; ++level) {
    const int64_t channels = config.block_out_channels[level];
    reader.CheckDivides(heads_key, config.attention_heads[level], channels);
    reader.CheckDivides("norm_num_groups", config.norm_num_groups, channels);
  }
  reader.CheckDivides("block_out_channels", 2, config.block_out_channels.front());
  AD_RETURN_IF_ERROR(reader.status());
  return config;
}

}  // namespace antidiffusion
