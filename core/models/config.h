// Architectures of the networks, named as in the diffusers/transformers config files. Defaults are
// those of the libraries: a key that is missing in a file means its default.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace antidiffusion {

// UNet2DConditionModel. Lists have one entry a level, those of `up_block_types` from the last level
// on.
struct UNetConfig {
  static constexpr char kCrossDown[] = "CrossAttnDownBlock2D";
  static constexpr char kCrossUp[] = "CrossAttnUpBlock2D";

  int64_t sample_size = 64;  // native latent side, the shorter one of a pair
  // 4: a latent; 8: and an image's latent; 9: and a mask and a masked image's latent.
  int64_t in_channels = 4;
  int64_t out_channels = 4;
  std::vector<std::string> down_block_types = {kCrossDown, kCrossDown, kCrossDown, "DownBlock2D"};
  bool has_mid_block = true;
  std::vector<std::string> up_block_types = {"UpBlock2D", kCrossUp, kCrossUp, kCrossUp};
  std::vector<int64_t> block_out_channels = {320, 640, 1280, 1280};
  std::vector<int64_t> layers_per_block = {2, 2, 2, 2};    // resnets of a down block; up: one more
  std::vector<int64_t> transformer_layers = {1, 1, 1, 1};  // `transformer_layers_per_block`
  int64_t cross_attention_dim = 1280;
  std::vector<int64_t> attention_heads = {8, 8, 8, 8};  // heads a level (`attention_head_dim`)
  int64_t norm_num_groups = 32;
  double norm_eps = 1e-5;
  bool use_linear_projection = false;
  bool flip_sin_to_cos = true;
  int64_t freq_shift = 0;
  // `addition_embed_type` text_time (SDXL): the sinusoid's width of each of six numbers, and the
  // width of pooled text embedding and six sinusoids together. Both 0: no added embedding.
  int64_t addition_time_embed_dim = 0;
  int64_t projection_class_embeddings_input_dim = 0;

  bool has_added_embedding() const { return projection_class_embeddings_input_dim > 0; }
  // Width of the pooled text embedding. 0 without an added embedding.
  int64_t pooled_dim() const {
    return projection_class_embeddings_input_dim - 6 * addition_time_embed_dim;
  }
};

// The encoder of AutoencoderKL.
struct VaeConfig {
  int64_t in_channels = 3;
  int64_t latent_channels = 4;
  std::vector<int64_t> block_out_channels = {64};
  int64_t layers_per_block = 1;
  int64_t norm_num_groups = 32;
  bool use_quant_conv = true;
  // A diffusion model works on (latent - shift_factor) * scaling_factor.
  double scaling_factor = 0.18215;
  double shift_factor = 0.0;

  // Pixels a latent cell, 2^(levels - 1).
  int64_t factor() const { return int64_t{1} << (block_out_channels.size() - 1); }
};

// The encoder of AutoencoderTiny.
struct TinyVaeConfig {
  int64_t in_channels = 3;
  int64_t latent_channels = 4;
  int64_t channels = 64;                           // `encoder_block_out_channels`, all alike
  std::vector<int64_t> num_blocks = {1, 3, 3, 3};  // `num_encoder_blocks`, a level
  // As in VaeConfig.
  double scaling_factor = 1.0;
  double shift_factor = 0.0;

  // Pixels a latent cell, 2^(levels - 1).
  int64_t factor() const { return int64_t{1} << (num_blocks.size() - 1); }
};

// Of an encoder of either kind.
using EncoderConfig = std::variant<VaeConfig, TinyVaeConfig>;

// CLIPTextModel, and CLIPTextModelWithProjection where `projection_dim` is not 0.
struct ClipTextConfig {
  // As `eos_token_id`: the largest id of a prompt. Published files say so, and their tokenizers end
  // a text with the largest id.
  static constexpr int64_t kLargestId = 2;

  int64_t vocab_size = 49408;
  int64_t hidden_size = 512;
  int64_t intermediate_size = 2048;
  int64_t num_hidden_layers = 12;
  int64_t num_attention_heads = 8;
  int64_t max_position_embeddings = 77;
  double layer_norm_eps = 1e-5;
  std::string hidden_act = "quick_gelu";  // or gelu
  int64_t projection_dim = 0;             // width of the pooled output
  // The token whose first place the pooled output is taken from, or kLargestId.
  int64_t eos_token_id = 49407;
};

}  // namespace antidiffusion
