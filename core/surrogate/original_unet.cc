// The UNet of a checkpoint in the original layout.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/models/config.h"
#include "core/surrogate/original_layout.h"

namespace antidiffusion {
namespace {

using Json = nlohmann::json;

constexpr int64_t kHeads = 8;          // SD 1.x, every level
constexpr int64_t kHeadChannels = 64;  // later ones
constexpr int64_t kAddedWidth = 256;   // SDXL: the sinusoid of each number beside the image
constexpr size_t kMaxLevels = 8;

// What one resolution of the UNet consists of.
struct Level {
  int64_t channels = 0;
  int64_t resnets = 0;       // on the way down; one more on the way up
  int64_t transformers = 0;  // layers of each of its transformers; 0: it has none
};

constexpr Rename kResnetNames[] = {
    {"in_layers.0.", "norm1."},          {"in_layers.2.", "conv1."},
    {"emb_layers.1.", "time_emb_proj."}, {"out_layers.0.", "norm2."},
    {"out_layers.3.", "conv2."},         {"skip_connection.", "conv_shortcut."}};

int64_t TransformerLayers(const OriginalKeys& keys, const std::string& transformer) {
  return keys.Count(absl::StrCat(transformer, "transformer_blocks."));
}

// Blocks 1, 2, ... are resnets, each with a transformer or without, and between two levels a
// convolution that halves the sides.
std::vector<Level> MapDownBlocks(OriginalKeys& keys) {
  std::vector<Level> levels(1);
  for (int64_t block = 1;; ++block) {
    const std::string from = absl::StrCat("input_blocks.", block, ".");
    const std::string to = absl::StrCat("down_blocks.", levels.size() - 1, ".");
    if (keys.Has(from + "0.op.weight")) {
      keys.MapUnder(from + "0.op.", to + "downsamplers.0.conv.");
      levels.emplace_back();
      if (levels.size() > kMaxLevels) return levels;
      continue;
    }
    if (!keys.Has(from + "0.in_layers.2.weight")) return levels;
    Level& level = levels.back();
    const std::string number = absl::StrCat(level.resnets++, ".");
    keys.MapUnder(from + "0.", absl::StrCat(to, "resnets.", number), kResnetNames);
    level.channels = keys.Side(from + "0.in_layers.2.weight", 0);
    keys.MapUnder(from + "1.", absl::StrCat(to, "attentions.", number));
    level.transformers = std::max(level.transformers, TransformerLayers(keys, from + "1."));
  }
}

void MapMidBlock(OriginalKeys& keys) {
  keys.MapUnder("middle_block.0.", "mid_block.resnets.0.", kResnetNames);
  keys.MapUnder("middle_block.1.", "mid_block.attentions.0.");
  keys.MapUnder("middle_block.2.", "mid_block.resnets.1.", kResnetNames);
}

// The way up, from the last level to the first. Which of its blocks have transformers.
std::vector<bool> MapUpBlocks(const std::vector<Level>& levels, OriginalKeys& keys) {
  std::vector<bool> has_transformers;
  int64_t block = 0;
  for (size_t up = 0; up < levels.size(); ++up) {
    const std::string to = absl::StrCat("up_blocks.", up, ".");
    has_transformers.push_back(false);
    for (int64_t i = 0; i <= levels[levels.size() - 1 - up].resnets; ++i, ++block) {
      const std::string from = absl::StrCat("output_blocks.", block, ".");
      const std::string number = absl::StrCat(i, ".");
      keys.MapUnder(from + "0.", absl::StrCat(to, "resnets.", number), kResnetNames);
      const bool transformer = keys.HasAnyUnder(from + "1.transformer_blocks.");
      if (transformer) keys.MapUnder(from + "1.", absl::StrCat(to, "attentions.", number));
      has_transformers.back() = has_transformers.back() || transformer;
      keys.MapUnder(from + (transformer ? "2.conv." : "1.conv."), to + "upsamplers.0.conv.");
    }
  }
  return has_transformers;
}

// The name of the first transformer, or "".
std::string FirstTransformer(const OriginalKeys& keys) {
  for (int64_t block = 1; keys.HasAnyUnder(absl::StrCat("input_blocks.", block, ".")); ++block) {
    std::string transformer = absl::StrCat("input_blocks.", block, ".1.");
    if (TransformerLayers(keys, transformer) > 0) return transformer;
  }
  return "";
}

void DescribeLevels(const std::vector<Level>& levels, const std::vector<bool>& up, bool is_linear,
                    Json& config) {
  for (size_t i = 0; i < levels.size(); ++i) {
    const Level& level = levels[i];
    config["block_out_channels"].push_back(level.channels);
    config["layers_per_block"].push_back(level.resnets);
    config["transformer_layers_per_block"].push_back(std::max<int64_t>(1, level.transformers));
    config["attention_head_dim"].push_back(
        is_linear ? std::max<int64_t>(1, level.channels / kHeadChannels) : kHeads);
    config["down_block_types"].push_back(level.transformers > 0 ? UNetConfig::kCrossDown
                                                                : "DownBlock2D");
    config["up_block_types"].push_back(up[i] ? UNetConfig::kCrossUp : "UpBlock2D");
  }
}

}  // namespace

OriginalPart ReadOriginalUNet(const NamedShapes& shapes, const std::string& prefix,
                              const SafetensorsFile* file) {
  OriginalKeys keys(shapes, prefix, file);
  keys.MapUnder("time_embed.0.", "time_embedding.linear_1.");
  keys.MapUnder("time_embed.2.", "time_embedding.linear_2.");
  keys.MapUnder("label_emb.0.0.", "add_embedding.linear_1.");
  keys.MapUnder("label_emb.0.2.", "add_embedding.linear_2.");
  keys.MapUnder("input_blocks.0.0.", "conv_in.");
  keys.MapUnder("out.0.", "conv_norm_out.");
  keys.MapUnder("out.2.", "conv_out.");
  const std::vector<Level> levels = MapDownBlocks(keys);
  MapMidBlock(keys);
  const std::vector<bool> up = MapUpBlocks(levels, keys);

  const std::string transformer = FirstTransformer(keys);
  const bool is_linear = keys.Rank(transformer + "proj_in.weight") == 2;
  OriginalPart part;
  Json& config = part.config;
  config["_class_name"] = "UNet2DConditionModel";
  config["in_channels"] = keys.Side("input_blocks.0.0.weight", 1);
  config["out_channels"] = keys.Side("out.2.weight", 0);
  DescribeLevels(levels, up, is_linear, config);
  if (!keys.HasAnyUnder("middle_block.")) config["mid_block_type"] = nullptr;
  config["cross_attention_dim"] =
      keys.Side(transformer + "transformer_blocks.0.attn2.to_k.weight", 1);
  config["use_linear_projection"] = is_linear;
  if (keys.HasAnyUnder("label_emb.")) {
    config["addition_embed_type"] = "text_time";
    config["addition_time_embed_dim"] = kAddedWidth;
    config["projection_class_embeddings_input_dim"] = keys.Side("label_emb.0.0.weight", 1);
  }
  part.tensors = keys.Take();
  return part;
}

}  // namespace antidiffusion
