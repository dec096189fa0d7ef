#include "core/models/recompute.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>

#include <vector>

#include "core/models/unet.h"
#include "core/models/vae.h"

namespace antidiffusion {
namespace {

struct Outcome {
  at::Tensor output, x_gradient, y_gradient, weight_gradient;
};

// Two bodies in a row over two inputs and a shared weight, with or without recomputing.
Outcome RunTwice(bool recompute, int* calls = nullptr) {
  at::manual_seed(5);
  at::Tensor x = at::randn({4, 8}).requires_grad_(true);
  at::Tensor y = at::randn({4, 8}).requires_grad_(true);
  at::Tensor weight = at::randn({8, 8}).requires_grad_(true);
  const RecomputedBody body = [weight, calls](const std::vector<at::Tensor>& inputs) {
    if (calls != nullptr) ++*calls;
    return std::vector<at::Tensor>{at::silu(at::matmul(inputs[0], weight)) * inputs[1]};
  };
  const auto apply = [&](const std::vector<at::Tensor>& inputs) {
    return (recompute ? Recomputed(body, inputs) : body(inputs)).front();
  };
  const at::Tensor output = apply({apply({x, y}), y});
  output.square().sum().backward();
  return {output.detach(), x.grad(), y.grad(), weight.grad()};
}

TEST(RecomputedTest, GivesTheSameValuesAndGradientsBitForBit) {
  const Outcome plain = RunTwice(false);
  const Outcome recomputed = RunTwice(true);
  EXPECT_TRUE(at::equal(plain.output, recomputed.output));
  EXPECT_TRUE(at::equal(plain.x_gradient, recomputed.x_gradient));
  EXPECT_TRUE(at::equal(plain.y_gradient, recomputed.y_gradient));
  EXPECT_TRUE(at::equal(plain.weight_gradient, recomputed.weight_gradient));
}

TEST(RecomputedTest, RunsTheBodyOnceMoreForTheGradient) {
  int calls = 0;
  RunTwice(true, &calls);
  EXPECT_EQ(calls, 4);
}

TEST(RecomputedTest, RunsTheBodyOnceWhereNothingAsksForAGradient) {
  int calls = 0;
  const RecomputedBody body = [&](const std::vector<at::Tensor>& inputs) {
    ++calls;
    return std::vector<at::Tensor>{inputs[0] * 2};
  };
  EXPECT_FALSE(Recomputed(body, {at::ones({2})}).front().requires_grad());
  const at::Tensor asks = at::ones({2}).requires_grad_(true);
  {
    const at::NoGradGuard no_graph;
    EXPECT_FALSE(Recomputed(body, {asks}).front().requires_grad());
  }
  EXPECT_EQ(calls, 2);
}

TEST(RecomputedTest, LeavesInputsWithoutAGradientAlone) {
  const at::Tensor constant = at::ones({2});
  at::Tensor asks = at::ones({2}).requires_grad_(true);
  const RecomputedBody body = [](const std::vector<at::Tensor>& inputs) {
    return std::vector<at::Tensor>{inputs[0] * inputs[1]};
  };
  Recomputed(body, {constant, asks}).front().sum().backward();
  EXPECT_TRUE(at::equal(asks.grad(), constant));
  EXPECT_FALSE(constant.grad().defined());
}

TEST(RecomputedTest, ComputesInThePrecisionOfTheFirstPass) {
  std::vector<at::ScalarType> seen;
  at::Tensor x = at::randn({4, 4}).requires_grad_(true);
  const at::Tensor weight = at::randn({4, 4});
  const RecomputedBody body = [&](const std::vector<at::Tensor>& inputs) {
    const at::Tensor product = at::matmul(inputs[0], weight);
    seen.push_back(product.scalar_type());
    return std::vector<at::Tensor>{product.to(at::kFloat)};
  };
  at::autocast::set_autocast_enabled(at::kCPU, true);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  const at::Tensor output = Recomputed(body, {x}).front();
  at::autocast::set_autocast_enabled(at::kCPU, false);
  output.sum().backward();
  EXPECT_EQ(seen, (std::vector<at::ScalarType>{at::kBFloat16, at::kBFloat16}));
  EXPECT_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
}

template <typename Network>
void FillAtRandom(Network& network) {
  at::manual_seed(3);
  for (at::Tensor& parameter : network->parameters())
    parameter.copy_(0.2 * at::randn_like(parameter));
}

UNet SmallUNet() {
  UNetConfig config;
  config.block_out_channels = {8, 16};
  config.down_block_types = {"CrossAttnDownBlock2D", "DownBlock2D"};
  config.up_block_types = {"UpBlock2D", "CrossAttnUpBlock2D"};
  config.layers_per_block = {1, 1};
  config.transformer_layers = {2, 1};
  config.attention_heads = {2, 2};
  config.cross_attention_dim = 6;
  config.norm_num_groups = 4;
  UNet unet(config);
  FillAtRandom(unet);
  return unet;
}

// Gradients of a pass to latent, context and first convolution.
std::vector<at::Tensor> GradientsOfUNet(UNet& unet) {
  at::manual_seed(9);
  at::Tensor latent = at::randn({1, 4, 8, 8}).requires_grad_(true);
  at::Tensor context = at::randn({1, 5, 6}).requires_grad_(true);
  at::Tensor weight = unet->named_parameters()["down_blocks.0.resnets.0.conv1.weight"];
  weight.set_requires_grad(true);
  weight.mutable_grad() = at::Tensor();
  unet(latent, at::tensor({10}), context).square().mean().backward();
  return {latent.grad(), context.grad(), weight.grad()};
}

// Relative to the gradient. Where several layers read one tensor, their gradients may be added up
// in another order.
double Distance(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / a.norm()).item<double>();
}

constexpr double kRounding = 1e-5;

TEST(SetRecomputeTest, LeavesAllGradientsOfAUNetAsTheyAreUpToRounding) {
  UNet unet = SmallUNet();
  const std::vector<at::Tensor> kept = GradientsOfUNet(unet);
  SetRecompute(*unet, true);
  const std::vector<at::Tensor> recomputed = GradientsOfUNet(unet);
  for (size_t i = 0; i < kept.size(); ++i)
    EXPECT_LT(Distance(kept[i], recomputed[i]), kRounding) << i;
}

TEST(SetRecomputeTest, LeavesTheGradientOfCapturedAttentionAsItIsUpToRounding) {
  UNet unet = SmallUNet();
  const auto gradient = [&](size_t layer) {
    at::manual_seed(9);
    at::Tensor latent = at::randn({1, 4, 8, 8}).requires_grad_(true);
    AttentionCapture capture{.probabilities = {}, .layers = {.levels = 1U}};
    const at::Tensor predicted = unet(latent, at::tensor({10}), at::randn({1, 5, 6}), &capture);
    EXPECT_EQ(capture.probabilities.size(), 6U);  // 1 + 2 resnets, of 2 transformer layers each
    (predicted.mean() + 1000 * capture.probabilities[layer].square().mean()).backward();
    return latent.grad();
  };
  const std::vector<at::Tensor> kept = {gradient(0), gradient(5)};
  SetRecompute(*unet, true);
  EXPECT_LT(Distance(kept[0], gradient(0)), kRounding);
  EXPECT_LT(Distance(kept[1], gradient(5)), kRounding);
  EXPECT_GT(Distance(kept[0], kept[1]), 100 * kRounding);
}

TEST(SetRecomputeTest, TakesTheGradientOfOneOutputAlone) {
  at::Tensor x = at::ones({2}).requires_grad_(true);
  const RecomputedBody body = [](const std::vector<at::Tensor>& inputs) {
    return std::vector<at::Tensor>{inputs[0] * 2, inputs[0] * 3};
  };
  Recomputed(body, {x})[1].sum().backward();
  EXPECT_TRUE(at::equal(x.grad(), at::full({2}, 3.0)));
}

TEST(SetRecomputeTest, LeavesTheGradientOfAVaeAsItIs) {
  VaeConfig config;
  config.block_out_channels = {8, 16};
  config.norm_num_groups = 4;
  Vae vae(config);
  FillAtRandom(vae);
  const auto gradient = [&] {
    at::manual_seed(4);
    at::Tensor image = at::rand({1, 3, 16, 16}).requires_grad_(true);
    vae->encode(image).mean.square().mean().backward();
    return image.grad();
  };
  const at::Tensor kept = gradient();
  SetRecompute(*vae, true);
  EXPECT_TRUE(at::equal(kept, gradient()));
}

}  // namespace
}  // namespace antidiffusion
