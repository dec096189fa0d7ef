// Architectures of the three networks, named as in the diffusers/transformers config files.
// Defaults are those of the libraries: a key that is missing in a file means its default.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace antidiffusion {

struct UNetConfig {
  int64_t sample_size = 64;  // native latent side
  int64_t in_channels = 4;
  int64_t out_channels = 4;
  std::vector<std::string> down_block_types = {"CrossAttnDownBlock2D", "CrossAttnDownBlock2D",
                                               "CrossAttnDownBlock2D", "DownBlock2D"};
  std::vector<std::string> up_block_types = {"UpBlock2D", "CrossAttnUpBlock2D",
                                             "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"};
  std::vector<int64_t> block_out_channels = {320, 640, 1280, 1280};
  int64_t layers_per_block = 2;
  int64_t cross_attention_dim = 1280;
  std::vector<int64_t> attention_heads = {8, 8, 8, 8};  // heads a level (`attention_head_dim`)
  int64_t norm_num_groups = 32;
  double norm_eps = 1e-5;
  bool use_linear_projection = false;
  bool flip_sin_to_cos = true;
  int64_t freq_shift = 0;
};

struct VaeConfig {
  int64_t in_channels = 3;
  int64_t out_channels = 3;
  int64_t latent_channels = 4;
  std::vector<int64_t> block_out_channels = {64};
  int64_t layers_per_block = 1;
  int64_t norm_num_groups = 32;
  double scaling_factor = 0.18215;

  // Pixels a latent cell, 2^(levels - 1).
  int64_t factor() const { return int64_t{1} << (block_out_channels.size() - 1); }
};

struct ClipTextConfig {
  int64_t vocab_size = 49408;
  int64_t hidden_size = 512;
  int64_t intermediate_size = 2048;
  int64_t num_hidden_layers = 12;
  int64_t num_attention_heads = 8;
  int64_t max_position_embeddings = 77;
  double layer_norm_eps = 1e-5;
  std::string hidden_act = "quick_gelu";  // or gelu
};

}  // namespace antidiffusion
