// The tensors of published checkpoints are exactly those the modules expect
// (tests/golden/published, written from diffusers and transformers). Built on the meta device: no
// weights, no memory.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "core/models/clip_text_model.h"
#include "core/models/config.h"
#include "core/models/unet.h"
#include "core/models/vae.h"
#include "tests/testing/golden.h"

namespace antidiffusion {
namespace {

const at::TensorOptions kMeta = at::TensorOptions(at::kMeta);

// "name size size ...", sorted as the files are.
std::vector<std::string> Tensors(torch::nn::Module& module) {
  std::vector<std::string> lines;
  for (const auto& item : module.named_parameters()) {
    std::string line = item.key();
    for (const int64_t size : item.value().sizes()) line += " " + std::to_string(size);
    lines.push_back(line);
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

std::vector<std::string> Published(const std::string& name) {
  std::ifstream stream(GoldenPath("published/" + name + ".txt"));
  EXPECT_TRUE(stream.good()) << name;
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  std::sort(lines.begin(), lines.end());
  return lines;
}

int64_t Count(const torch::nn::Module& module, const std::string& prefix = "") {
  int64_t count = 0;
  for (const auto& item : module.named_parameters()) {
    if (item.key().rfind(prefix, 0) == 0) count += item.value().numel();
  }
  return count;
}

UNetConfig Sd15UNet() {
  UNetConfig config;
  config.cross_attention_dim = 768;
  return config;
}

UNetConfig Sd21BaseUNet() {
  UNetConfig config;
  config.cross_attention_dim = 1024;
  config.attention_heads = {5, 10, 20, 20};
  config.use_linear_projection = true;
  return config;
}

// stabilityai/stable-diffusion-2-1: the same network, trained at 96x96 latents on v_prediction.
UNetConfig Sd21UNet() {
  UNetConfig config = Sd21BaseUNet();
  config.sample_size = 96;
  return config;
}

TEST(PublishedTest, UNetOfStableDiffusion15) {
  UNet unet(Sd15UNet(), kMeta);
  EXPECT_EQ(Tensors(*unet), Published("sd15_unet"));
  EXPECT_EQ(Count(*unet), 859'520'964);
}

TEST(PublishedTest, UNetsOfStableDiffusion21) {
  for (const UNetConfig& config : {Sd21BaseUNet(), Sd21UNet()}) {
    UNet unet(config, kMeta);
    EXPECT_EQ(Tensors(*unet), Published("sd21_unet"));
    EXPECT_EQ(Count(*unet), 865'910'724);
  }
}

TEST(PublishedTest, VaeOfAllOfThem) {
  VaeConfig config;
  config.block_out_channels = {128, 256, 512, 512};
  config.layers_per_block = 2;
  Vae vae(config, kMeta);
  EXPECT_EQ(Tensors(*vae), Published("vae"));
  EXPECT_EQ(Count(*vae, "encoder."), 34'163'592);
  EXPECT_EQ(Count(*vae, "decoder."), 49'490'179);
  EXPECT_EQ(Count(*vae, "quant_conv."), 72);
  EXPECT_EQ(Count(*vae, "post_quant_conv."), 20);
}

TEST(PublishedTest, TextEncoderOfStableDiffusion15) {
  ClipTextConfig config;
  config.hidden_size = 768;
  config.intermediate_size = 3072;
  config.num_attention_heads = 12;
  ClipTextModel model(config, kMeta);
  EXPECT_EQ(Tensors(*model), Published("sd15_text_encoder"));
  EXPECT_EQ(Count(*model), 123'060'480);
}

TEST(PublishedTest, TextEncoderOfStableDiffusion21) {
  ClipTextConfig config;
  config.hidden_size = 1024;
  config.intermediate_size = 4096;
  config.num_hidden_layers = 23;
  config.num_attention_heads = 16;
  config.hidden_act = "gelu";
  ClipTextModel model(config, kMeta);
  EXPECT_EQ(Tensors(*model), Published("sd21_text_encoder"));
  EXPECT_EQ(Count(*model), 340'387'840);
}

}  // namespace
}  // namespace antidiffusion
