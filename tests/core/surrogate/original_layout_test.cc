// Published single-file checkpoints hold every tensor that the networks need, and their shapes
// alone tell the published configurations (tests/golden/published, written by
// make_single_files.py).
#include <ATen/core/Tensor.h>

#include <fstream>
#include <sstream>

#include "core/models/clip_text_model.h"
#include "core/models/unet.h"
#include "core/models/vae.h"
#include "core/surrogate/model_config.h"
#include "core/surrogate/original_layout.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

constexpr char kUNet[] = "model.diffusion_model.";
constexpr char kVae[] = "first_stage_model.";

NamedShapes Published(const std::string& name) {
  std::ifstream stream(std::string(ANTIDIFFUSION_SOURCE_DIR) + "/tests/golden/published/" + name +
                       "_single_file.txt");
  NamedShapes shapes;
  std::string line;
  while (std::getline(stream, line)) {
    std::istringstream words(line);
    std::string key;
    words >> key;
    std::vector<int64_t>& shape = shapes[key];
    for (int64_t side = 0; words >> side;) shape.push_back(side);
  }
  EXPECT_GT(shapes.size(), 1000U) << name;
  return shapes;
}

// As TensorSource::Shape, without a file.
std::vector<int64_t> ShapeOf(const TensorSource& source, const NamedShapes& shapes) {
  std::vector<int64_t> shape = shapes.at(source.name);
  if (source.rows > 0) {
    EXPECT_LE(source.first_row + source.rows, shape[0]);
    shape[0] = source.rows;
  }
  if (source.transposed) std::swap(shape.at(0), shape.at(1));
  return shape;
}

// That every parameter of the network is there in its shape, and that nothing else was mapped.
template <typename Network, typename Config>
void ExpectComplete(const Config& config, const OriginalPart& part, const NamedShapes& shapes) {
  const Network network(config, at::TensorOptions().device(at::kMeta));
  const auto parameters = network->named_parameters();
  EXPECT_EQ(part.tensors.size(), parameters.size());
  for (const auto& parameter : parameters) {
    const auto source = part.tensors.find(parameter.key());
    ASSERT_NE(source, part.tensors.end()) << parameter.key();
    std::vector<int64_t> shape = ShapeOf(source->second, shapes);
    if (source->second.pointwise && parameter.value().dim() == 2) shape.resize(2);
    EXPECT_EQ(c10::IntArrayRef(shape), parameter.value().sizes()) << parameter.key();
  }
}

UNetConfig ExpectUNet(const NamedShapes& shapes) {
  const OriginalPart part = ReadOriginalUNet(shapes, kUNet, nullptr);
  UNetConfig config = ParseUNetConfig(part.config, "unet").value();
  ExpectComplete<UNet>(config, part, shapes);
  return config;
}

void ExpectVae(const NamedShapes& shapes) {
  const OriginalPart part = ReadOriginalVae(shapes, kVae, nullptr);
  const VaeConfig config = ParseVaeConfig(part.config, "vae").value();
  EXPECT_THAT(config.block_out_channels, ElementsAre(128, 256, 512, 512));
  EXPECT_EQ(config.layers_per_block, 2);
  ExpectComplete<Vae>(config, part, shapes);
}

ClipTextConfig ExpectText(const OriginalPart& part, const NamedShapes& shapes) {
  ClipTextConfig config = ParseClipTextConfig(part.config, "text").value();
  ExpectComplete<ClipTextModel>(config, part, shapes);
  return config;
}

TEST(OriginalLayoutTest, Sd15) {
  const NamedShapes shapes = Published("sd15");
  const UNetConfig unet = ExpectUNet(shapes);
  EXPECT_EQ(FamilyOf(unet), "sd1");
  EXPECT_THAT(unet.block_out_channels, ElementsAre(320, 640, 1280, 1280));
  EXPECT_THAT(unet.attention_heads, Each(8));
  EXPECT_THAT(unet.layers_per_block, Each(2));
  EXPECT_EQ(unet.cross_attention_dim, 768);
  EXPECT_EQ(unet.down_block_types.back(), "DownBlock2D");
  EXPECT_EQ(unet.up_block_types.front(), "UpBlock2D");
  ExpectVae(shapes);
  const ClipTextConfig text =
      ExpectText(ReadOriginalClip(shapes, "cond_stage_model.transformer.", nullptr), shapes);
  EXPECT_EQ(text.num_hidden_layers, 12);
  EXPECT_EQ(text.num_attention_heads, 12);
  EXPECT_EQ(text.hidden_act, "quick_gelu");
}

TEST(OriginalLayoutTest, EditorsTakeMoreInputChannels) {
  for (const std::string file : {"sd15", "sdxl"}) {
    const std::string family = file == "sdxl" ? "sdxl-" : "";
    for (const auto& [channels, task] :
         {std::pair<int64_t, const char*>(9, "inpaint"), {8, "pix2pix"}}) {
      NamedShapes shapes = Published(file);
      shapes["model.diffusion_model.input_blocks.0.0.weight"][1] = channels;
      EXPECT_EQ(FamilyOf(ExpectUNet(shapes)), family + task);
    }
  }
}

TEST(OriginalLayoutTest, Sd21) {
  const NamedShapes shapes = Published("sd21");
  const UNetConfig unet = ExpectUNet(shapes);
  EXPECT_EQ(FamilyOf(unet), "sd2");
  EXPECT_THAT(unet.attention_heads, ElementsAre(5, 10, 20, 20));
  EXPECT_EQ(unet.cross_attention_dim, 1024);
  EXPECT_TRUE(unet.use_linear_projection);
  ExpectVae(shapes);
  const ClipTextConfig text = ExpectText(
      ReadOriginalOpenClip(shapes, "cond_stage_model.model.", {.layers = 23}, nullptr), shapes);
  EXPECT_EQ(text.num_hidden_layers, 23);
  EXPECT_EQ(text.num_attention_heads, 16);
  EXPECT_EQ(text.hidden_act, "gelu");
  EXPECT_EQ(text.projection_dim, 0);
}

TEST(OriginalLayoutTest, Sdxl) {
  const NamedShapes shapes = Published("sdxl");
  const UNetConfig unet = ExpectUNet(shapes);
  EXPECT_EQ(FamilyOf(unet), "sdxl");
  EXPECT_THAT(unet.block_out_channels, ElementsAre(320, 640, 1280));
  EXPECT_THAT(unet.attention_heads, ElementsAre(5, 10, 20));
  EXPECT_THAT(unet.transformer_layers, ElementsAre(1, 2, 10));
  EXPECT_EQ(unet.down_block_types.front(), "DownBlock2D");
  EXPECT_EQ(unet.up_block_types.back(), "UpBlock2D");
  EXPECT_EQ(unet.cross_attention_dim, 2048);
  EXPECT_EQ(unet.addition_time_embed_dim, 256);
  EXPECT_EQ(unet.projection_class_embeddings_input_dim, 2816);
  ExpectVae(shapes);
  ExpectText(ReadOriginalClip(shapes, "conditioner.embedders.0.transformer.", nullptr), shapes);
  const ClipTextConfig second =
      ExpectText(ReadOriginalOpenClip(shapes, "conditioner.embedders.1.model.",
                                      {.layers = 64, .projects = true}, nullptr),
                 shapes);
  EXPECT_EQ(second.num_hidden_layers, 32);
  EXPECT_EQ(second.num_attention_heads, 20);
  EXPECT_EQ(second.projection_dim, 1280);
}

}  // namespace
}  // namespace antidiffusion
