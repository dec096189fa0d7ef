// Published config files give networks whose tensors are exactly those of the published checkpoints
// (tests/golden/published, see make_published.py). Built on the meta device: no weights, no memory.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "core/base/json_file.h"
#include "core/models/clip_text_model.h"
#include "core/models/tiny_encoder.h"
#include "core/models/unet.h"
#include "core/models/vae.h"
#include "core/surrogate/model_config.h"
#include "tests/testing/golden.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

constexpr int64_t kMaxConfigBytes = 1 << 16;
const at::TensorOptions kMeta = at::TensorOptions(at::kMeta);

template <typename Config>
absl::StatusOr<Config> Read(const std::string& name,
                            absl::StatusOr<Config> (*parse)(const nlohmann::json&,
                                                            const std::string&)) {
  const std::string path = GoldenPath("published/" + name + ".json");
  const absl::StatusOr<nlohmann::json> json = ReadJsonFile(path, kMaxConfigBytes);
  return json.ok() ? parse(*json, path) : json.status();
}

// "name size size ...", sorted.
std::vector<std::string> Published(const std::string& name) {
  std::ifstream stream(GoldenPath("published/" + name + ".txt"));
  EXPECT_TRUE(stream.good()) << name;
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  std::sort(lines.begin(), lines.end());
  return lines;
}

// Those of a network, likewise.
std::vector<std::string> TensorsOf(const torch::nn::Module& module) {
  std::vector<std::string> lines;
  for (const auto& item : module.named_parameters()) {
    EXPECT_TRUE(item.value().is_meta());
    std::string line = item.key();
    for (const int64_t size : item.value().sizes()) line += " " + std::to_string(size);
    lines.push_back(line);
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

void ExpectTensors(const torch::nn::Module& module, const std::string& name, int64_t count) {
  EXPECT_EQ(TensorsOf(module), Published(name)) << name;
  int64_t numbers = 0;
  for (const at::Tensor& parameter : module.parameters()) numbers += parameter.numel();
  EXPECT_EQ(numbers, count) << name;
}

struct PublishedUNet {
  const char* name;
  const char* family;
  int64_t sample_size;
  int64_t parameters;
};

TEST(PublishedTest, UNets) {
  for (const PublishedUNet& published : {PublishedUNet{"sd15_unet", "sd1", 64, 859'520'964},
                                         {"bk_small_unet", "sd1", 64, 482'346'884},
                                         {"bk_tiny_unet", "sd1", 64, 323'384'964},
                                         {"sd21_unet", "sd2", 96, 865'910'724},
                                         {"sd15_inpainting_unet", "inpaint", 64, 859'535'364},
                                         {"pix2pix_unet", "pix2pix", 64, 859'532'484},
                                         {"sdxl_unet", "sdxl", 128, 2'567'463'684}}) {
    AD_ASSERT_OK_AND_ASSIGN(const UNetConfig config, Read(published.name, ParseUNetConfig));
    EXPECT_EQ(FamilyOf(config), published.family) << published.name;
    EXPECT_EQ(config.sample_size, published.sample_size) << published.name;
    ExpectTensors(*UNet(config, kMeta), published.name, published.parameters);
  }
}

// diffusers/stable-diffusion-xl-1.0-inpainting-0.1 and diffusers/sdxl-instructpix2pix-768 differ
// from the UNet of SDXL by the channels that they take.
TEST(PublishedTest, EditorsOfStableDiffusionXl) {
  const std::string path = GoldenPath("published/sdxl_unet.json");
  AD_ASSERT_OK_AND_ASSIGN(nlohmann::json json, ReadJsonFile(path, kMaxConfigBytes));
  for (const auto& [channels, family] :
       {std::pair<int64_t, const char*>(9, "sdxl-inpaint"), {8, "sdxl-pix2pix"}}) {
    json["in_channels"] = channels;
    AD_ASSERT_OK_AND_ASSIGN(const UNetConfig config, ParseUNetConfig(json, path));
    EXPECT_EQ(FamilyOf(config), family);
    std::vector<std::string> wanted = Published("sdxl_unet");
    std::replace(wanted.begin(), wanted.end(), std::string("conv_in.weight 320 4 3 3"),
                 "conv_in.weight 320 " + std::to_string(channels) + " 3 3");
    EXPECT_EQ(TensorsOf(*UNet(config, kMeta)), wanted);
  }
}

struct PublishedVae {
  const char* name;
  double scaling_factor;
  double shift_factor;
  int64_t latent_channels;
  int64_t parameters;  // of the encoder
};

TEST(PublishedTest, EncodersOfVaes) {
  for (const PublishedVae& published : {PublishedVae{"sd15_vae", 0.18215, 0, 4, 34'163'664},
                                        {"sdxl_vae", 0.13025, 0, 4, 34'163'664},
                                        {"sd3_vae", 1.5305, 0.0609, 16, 34'274'208},
                                        {"flux1_vae", 0.3611, 0.1159, 16, 34'274'208}}) {
    AD_ASSERT_OK_AND_ASSIGN(const VaeConfig config, Read(published.name, ParseVaeConfig));
    EXPECT_EQ(config.scaling_factor, published.scaling_factor) << published.name;
    EXPECT_EQ(config.shift_factor, published.shift_factor) << published.name;
    EXPECT_EQ(config.latent_channels, published.latent_channels) << published.name;
    EXPECT_EQ(config.factor(), 8) << published.name;
    ExpectTensors(*Vae(config, kMeta), published.name, published.parameters);
  }
}

TEST(PublishedTest, EncoderOfTaesd) {
  AD_ASSERT_OK_AND_ASSIGN(const TinyVaeConfig config, Read("taesd", ParseTinyVaeConfig));
  EXPECT_EQ(config.factor(), 8);
  EXPECT_EQ(config.scaling_factor, 1);
  EXPECT_EQ(config.shift_factor, 0);
  ExpectTensors(*TinyEncoder(config, kMeta), "taesd", 1'222'532);
}

struct PublishedText {
  const char* name;
  int64_t projection_dim;
  int64_t parameters;
};

TEST(PublishedTest, TextEncoders) {
  for (const PublishedText& published : {PublishedText{"sd15_text_encoder", 0, 123'060'480},
                                         {"sd21_text_encoder", 0, 340'387'840},
                                         {"sdxl_text_encoder", 0, 123'060'480},
                                         {"sdxl_text_encoder_2", 1280, 694'659'840}}) {
    AD_ASSERT_OK_AND_ASSIGN(const ClipTextConfig config, Read(published.name, ParseClipTextConfig));
    EXPECT_EQ(config.projection_dim, published.projection_dim) << published.name;
    EXPECT_EQ(config.eos_token_id, 2) << published.name;
    ExpectTensors(*ClipTextModel(config, kMeta), published.name, published.parameters);
  }
}

TEST(PublishedTest, PartsOfStableDiffusionXlFitTogether) {
  AD_ASSERT_OK_AND_ASSIGN(const UNetConfig unet, Read("sdxl_unet", ParseUNetConfig));
  AD_ASSERT_OK_AND_ASSIGN(const VaeConfig vae, Read("sdxl_vae", ParseVaeConfig));
  AD_ASSERT_OK_AND_ASSIGN(const ClipTextConfig first,
                          Read("sdxl_text_encoder", ParseClipTextConfig));
  AD_ASSERT_OK_AND_ASSIGN(const ClipTextConfig second,
                          Read("sdxl_text_encoder_2", ParseClipTextConfig));
  EXPECT_THAT(CheckPartsFit(unet, vae, {first, second}), IsOk());
}

}  // namespace
}  // namespace antidiffusion
