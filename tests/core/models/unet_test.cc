#include "core/models/unet.h"

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "core/models/attention_capture.h"
#include "core/models/resnet.h"
#include "tests/testing/golden.h"
#include "tests/testing/golden_families.h"

namespace antidiffusion {
namespace {

// Largest |difference| of two float orderings of these tiny models; their golden floors are 1e-6.
constexpr double kSameUpToRounding = 2e-5;

double MaxDifference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

struct Inputs {
  at::Tensor latent, timestep, context;
};

Inputs MakeInputs(int64_t batch, int64_t height, int64_t width, int64_t context_channels) {
  at::manual_seed(7);
  return {at::randn({batch, 4, height, width}), at::tensor({10, 730}).slice(0, 0, batch),
          at::randn({batch, 77, context_channels})};
}

// How often each operator ran on this thread while it lives.
class OperatorCounter {
 public:
  OperatorCounter() {
    Counts() = {};
    handle_ = at::addThreadLocalCallback(
        at::RecordFunctionCallback([](const at::RecordFunction& function) {
          ++Counts()[function.name()];
          return std::unique_ptr<at::ObserverContext>();
        }).scopes({at::RecordScope::FUNCTION}));
  }
  ~OperatorCounter() { at::removeCallback(handle_); }
  OperatorCounter(const OperatorCounter&) = delete;
  OperatorCounter& operator=(const OperatorCounter&) = delete;

  int operator[](const std::string& name) const { return Counts()[name]; }

 private:
  // The callback is a plain function pointer, so its state cannot be a member.
  static std::map<std::string, int>& Counts() {
    thread_local std::map<std::string, int> counts;
    return counts;
  }
  at::CallbackHandle handle_;
};

TEST(UNetTest, BatchEqualsItsMembersAlone) {
  UNet unet = LoadGoldenUNet("sd1-like");
  const Inputs inputs = MakeInputs(2, 16, 16, 32);
  const at::NoGradGuard no_grad;
  AttentionCapture both;
  const at::Tensor together = unet(inputs.latent, inputs.timestep, inputs.context, &both);
  for (int64_t i = 0; i < 2; ++i) {
    AttentionCapture one;
    const at::Tensor alone =
        unet(inputs.latent.slice(0, i, i + 1), inputs.timestep.slice(0, i, i + 1),
             inputs.context.slice(0, i, i + 1), &one);
    EXPECT_LT(MaxDifference(together.slice(0, i, i + 1), alone), kSameUpToRounding);
    ASSERT_EQ(one.probabilities.size(), both.probabilities.size());
    EXPECT_LT(MaxDifference(both.probabilities[0].slice(0, i, i + 1), one.probabilities[0]),
              kSameUpToRounding);
  }
}

TEST(UNetTest, CaptureTakesFiveLayersOfFourLevelsAndNoneOfTheMidBlock) {
  UNet unet = LoadGoldenUNet("sd1-like");
  const Inputs inputs = MakeInputs(1, 16, 24, 32);
  AttentionCapture capture;
  unet(inputs.latent, inputs.timestep, inputs.context, &capture);
  ASSERT_EQ(capture.probabilities.size(), 5u);
  for (const at::Tensor& map : capture.probabilities) {
    EXPECT_EQ(map.sizes(), at::IntArrayRef({1, 8, 24, 77}));
    EXPECT_EQ(map.scalar_type(), at::kFloat);
    EXPECT_LT(MaxDifference(map.sum(-1), at::ones({1, 8, 24})), 1e-5);
  }
}

// Down, mid and up of four levels, the last without cross-attention: 2 and 3 layers a level.
TEST(UNetTest, CaptureTakesTheLayersThatAreNamed) {
  UNet unet = LoadGoldenUNet("sd1-like");
  const Inputs inputs = MakeInputs(1, 16, 24, 32);
  const at::NoGradGuard no_grad;
  const at::Tensor expected = unet(inputs.latent, inputs.timestep, inputs.context);
  const auto positions = [&](const CapturedLayers& layers) {
    AttentionCapture capture{.probabilities = {}, .layers = layers};
    const at::Tensor out = unet(inputs.latent, inputs.timestep, inputs.context, &capture);
    EXPECT_LT(MaxDifference(out, expected), kSameUpToRounding);
    std::vector<int64_t> found;
    for (const at::Tensor& map : capture.probabilities) found.push_back(map.size(2));
    return found;
  };
  using Positions = std::vector<int64_t>;
  EXPECT_EQ(positions(CapturedLayers{}), Positions(5, 24));
  EXPECT_EQ(positions(CapturedLayers{.levels = 1U << 1}), Positions(5, 96));
  EXPECT_EQ(positions(CapturedLayers{.levels = 1U << 0}), Positions(5, 384));
  EXPECT_EQ(positions(CapturedLayers{.levels = 0, .mid = true}), Positions(1, 6));
  EXPECT_EQ(positions(CapturedLayers{.levels = ~0U, .mid = true}),
            (Positions{384, 384, 96, 96, 24, 24, 6, 24, 24, 24, 96, 96, 96, 384, 384, 384}));
}

TEST(UNetTest, CrossAttentionIsLookedForDownAndUp) {
  UNetConfig config = GoldenUNetConfig("sd1-like");  // four levels, the last without
  for (size_t level = 0; level < 3; ++level) {
    EXPECT_TRUE(HasCrossAttention(config, {.levels = 1U << level})) << level;
  }
  EXPECT_FALSE(HasCrossAttention(config, {.levels = 1U << 3}));
  EXPECT_TRUE(HasCrossAttention(config, {.levels = 0, .mid = true}));
  EXPECT_TRUE(HasCrossAttention(config, {.levels = ~0U, .mid = true}));
  EXPECT_FALSE(HasCrossAttention(config, {.levels = 0}));
  config.down_block_types[2] = "DownBlock2D";
  EXPECT_TRUE(HasCrossAttention(config, {})) << "in the up block alone";
  config.up_block_types[1] = "UpBlock2D";  // the same level: counted from the last
  EXPECT_FALSE(HasCrossAttention(config, {}));
  config.has_mid_block = false;
  EXPECT_FALSE(HasCrossAttention(config, {.levels = 0, .mid = true}));
}

// 16 transformer blocks of two attentions each: 27 fused, 5 explicit when captured.
TEST(UNetTest, OnlyCapturedLayersMaterialiseTheirProbabilities) {
  UNet unet = LoadGoldenUNet("sd1-like");
  const Inputs inputs = MakeInputs(1, 16, 16, 32);
  const at::NoGradGuard no_grad;
  {
    const OperatorCounter counter;
    unet(inputs.latent, inputs.timestep, inputs.context);
    EXPECT_EQ(counter["aten::scaled_dot_product_attention"], 32);
    EXPECT_EQ(counter["aten::softmax"], 0);
  }
  {
    const OperatorCounter counter;
    AttentionCapture capture;
    unet(inputs.latent, inputs.timestep, inputs.context, &capture);
    EXPECT_EQ(counter["aten::scaled_dot_product_attention"], 27);
    EXPECT_EQ(counter["aten::softmax"], 5);
  }
}

TEST(UNetTest, CapturedMapsAreOnTheGraphOfLatentAndContext) {
  UNet unet = LoadGoldenUNet("sd2-base-like");
  Inputs inputs = MakeInputs(1, 16, 16, 48);
  inputs.latent.requires_grad_(true);
  inputs.context.requires_grad_(true);
  AttentionCapture capture;
  unet(inputs.latent, inputs.timestep, inputs.context, &capture);
  ASSERT_EQ(capture.probabilities.size(), 3u);
  capture.probabilities[0].square().sum().backward();
  EXPECT_GT(inputs.latent.grad().abs().max().item<double>(), 0);
  EXPECT_GT(inputs.context.grad().abs().max().item<double>(), 0);
}

// Sides that do not halve evenly: ceil on the way down, the skip tensors' sides on the way up.
TEST(UNetTest, OddSidesKeepTheirSize) {
  UNet unet = LoadGoldenUNet("sd1-like");
  for (const auto& [height, width] : {std::pair{9, 7}, {10, 13}, {1, 1}}) {
    const Inputs inputs = MakeInputs(1, height, width, 32);
    AttentionCapture capture;
    const at::Tensor out = unet(inputs.latent, inputs.timestep, inputs.context, &capture);
    EXPECT_EQ(out.sizes(), inputs.latent.sizes());
    EXPECT_TRUE(at::isfinite(out).all().item<bool>());
    const int64_t positions = int64_t{(height + 3) / 4} * ((width + 3) / 4);
    EXPECT_EQ(capture.probabilities.at(0).size(2), positions);
  }
}

TEST(UNetTest, ParametersNeedNoGradientUnlessAsked) {
  UNet unet = LoadGoldenUNet("sd1-like");
  for (const at::Tensor& parameter : unet->parameters()) EXPECT_FALSE(parameter.requires_grad());
}

TEST(UNetTest, RefusesWhatIsNoStableDiffusionUNet) {
  UNetConfig config = GoldenUNetConfig("sd1-like");
  config.down_block_types[1] = "AttnDownBlock2D";
  try {
    UNet unet(config);
    FAIL() << "an unknown block type was accepted";
  } catch (const c10::Error& error) {
    EXPECT_NE(std::string(error.what()).find("AttnDownBlock2D"), std::string::npos);
  }
  config = GoldenUNetConfig("sd1-like");
  config.up_block_types.pop_back();
  EXPECT_THROW(UNet unet(config), c10::Error);
  config = GoldenUNetConfig("sd1-like");
  config.attention_heads = {8, 8, 8, 7};
  EXPECT_THROW(UNet unet(config), c10::Error);
  config = GoldenUNetConfig("sd1-like");
  config.norm_num_groups = 5;
  EXPECT_THROW(UNet unet(config), c10::Error);
}

TEST(UNetTest, ListsNeedAnEntryALevel) {
  UNetConfig config = GoldenUNetConfig("sd1-like");
  config.layers_per_block = {2, 2, 2};
  EXPECT_THROW(UNet unet(config), c10::Error);
  config = GoldenUNetConfig("sd1-like");
  config.transformer_layers = {1};
  EXPECT_THROW(UNet unet(config), c10::Error);
  config = GoldenUNetConfig("sd1-like");
  config.layers_per_block = {2, 0, 2, 2};
  EXPECT_THROW(UNet unet(config), c10::Error);
  config = GoldenUNetConfig("sd1-like");
  config.addition_time_embed_dim = 8;
  config.projection_class_embeddings_input_dim = 48;  // nothing left for the pooled embedding
  EXPECT_THROW(UNet unet(config), c10::Error);
}

// diffusers' UNet takes such lists, no published model has one.
TEST(UNetTest, LayersMayDifferFromLevelToLevel) {
  UNetConfig config = GoldenUNetConfig("sd1-like");
  config.layers_per_block = {1, 3, 2, 1};
  config.transformer_layers = {2, 1, 3, 1};
  UNet unet(config);
  const at::NoGradGuard no_grad;
  for (at::Tensor& parameter : unet->parameters()) parameter.normal_(0, 0.02);
  const Inputs inputs = MakeInputs(1, 16, 16, 32);
  AttentionCapture capture;
  const at::Tensor out = unet(inputs.latent, inputs.timestep, inputs.context, &capture);
  EXPECT_EQ(out.sizes(), inputs.latent.sizes());
  EXPECT_EQ(capture.probabilities.size(), 3u * (2 + 3));
}

TEST(UNetTest, AddedConditioningIsRequiredExactlyWhereItBelongs) {
  const at::NoGradGuard no_grad;
  UNet plain = LoadGoldenUNet("sd1-like");
  const Inputs inputs = MakeInputs(1, 16, 16, 32);
  AddedConditioning added{at::zeros({1, 40}), at::zeros({1, 6})};
  EXPECT_THROW(plain(inputs.latent, inputs.timestep, inputs.context, nullptr, &added), c10::Error);
  UNet xl = LoadFamilyUNet("sdxl-like");
  const Inputs wide = MakeInputs(1, 12, 16, 56);
  const at::Tensor out = xl(wide.latent, wide.timestep, wide.context, nullptr, &added);
  EXPECT_EQ(out.sizes(), wide.latent.sizes());
  EXPECT_THROW(xl(wide.latent, wide.timestep, wide.context), c10::Error);
  added.time_ids = at::zeros({1, 5});
  EXPECT_THROW(xl(wide.latent, wide.timestep, wide.context, nullptr, &added), c10::Error);
  added = {at::zeros({1, 39}), at::zeros({1, 6})};
  EXPECT_THROW(xl(wide.latent, wide.timestep, wide.context, nullptr, &added), c10::Error);
}

TEST(UNetTest, WrongShapesThrow) {
  UNet unet = LoadGoldenUNet("sd1-like");
  const Inputs inputs = MakeInputs(1, 16, 16, 32);
  EXPECT_THROW(unet(at::randn({1, 3, 16, 16}), inputs.timestep, inputs.context), c10::Error);
  EXPECT_THROW(unet(inputs.latent, inputs.timestep, at::randn({1, 77, 33})), c10::Error);
}

TEST(TimestepSinusoidTest, FlipPutsTheCosinesFirst) {
  const at::Tensor t = at::tensor({0, 500});
  const at::Tensor flipped = TimestepSinusoid(t, 8, true, 0);
  const at::Tensor plain = TimestepSinusoid(t, 8, false, 0);
  EXPECT_TRUE(at::equal(flipped, at::roll(plain, 4, 1)));
  EXPECT_TRUE(at::equal(flipped[0], at::tensor({1., 1., 1., 1., 0., 0., 0., 0.}, at::kFloat)));
  // Frequencies 10000^(-i / (half - shift)).
  const at::Tensor shifted = TimestepSinusoid(t, 8, false, 1);
  EXPECT_NEAR(plain[1][3].item<double>(), std::sin(500 * std::pow(10000.0, -3.0 / 4)), 1e-5);
  EXPECT_NEAR(shifted[1][3].item<double>(), std::sin(500 * std::pow(10000.0, -1.0)), 1e-5);
}

}  // namespace
}  // namespace antidiffusion
