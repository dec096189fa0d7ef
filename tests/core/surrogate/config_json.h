// Config files of published models as JSON, and how a test changes one.
#pragma once

#include <nlohmann/json.hpp>

namespace antidiffusion {

// unet/config.json of SD 1.5 as diffusers 0.6 wrote it.
inline nlohmann::json Sd15UNet() {
  return nlohmann::json::parse(R"({
    "_class_name": "UNet2DConditionModel", "_diffusers_version": "0.6.0", "act_fn": "silu",
    "attention_head_dim": 8, "block_out_channels": [320, 640, 1280, 1280],
    "center_input_sample": false, "cross_attention_dim": 768,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D",
                         "DownBlock2D"],
    "downsample_padding": 1, "flip_sin_to_cos": true, "freq_shift": 0, "in_channels": 4,
    "layers_per_block": 2, "mid_block_scale_factor": 1, "norm_eps": 1e-05, "norm_num_groups": 32,
    "out_channels": 4, "sample_size": 64,
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D",
                       "CrossAttnUpBlock2D"]})");
}

inline nlohmann::json With(nlohmann::json json, const char* key, const nlohmann::json& value) {
  json[key] = value;
  return json;
}

// unet/config.json of SDXL in what differs from SD 1.5.
inline nlohmann::json SdxlUNet() {
  nlohmann::json json = Sd15UNet();
  json.update(nlohmann::json::parse(R"({
    "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
    "attention_head_dim": [5, 10, 20], "block_out_channels": [320, 640, 1280],
    "cross_attention_dim": 2048, "projection_class_embeddings_input_dim": 2816,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "transformer_layers_per_block": [1, 2, 10], "use_linear_projection": true,
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"]})"));
  return json;
}

}  // namespace antidiffusion
