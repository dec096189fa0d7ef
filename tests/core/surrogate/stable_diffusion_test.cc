#include "core/surrogate/stable_diffusion.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <memory>

#include "core/surrogate/autocast.h"
#include "tests/core/surrogate/golden_stable_diffusion.h"
#include "tests/testing/golden.h"

namespace antidiffusion {
namespace {

struct Draws {
  at::Tensor latent, noise, timestep;
};

Draws MakeDraws(int64_t height, int64_t width) {
  at::manual_seed(11);
  return {at::randn({1, 4, height, width}), at::randn({1, 4, height, width}), at::tensor({300})};
}

TEST(StableDiffusionTest, CountsEveryPassOnce) {
  const auto model = MakeGoldenStableDiffusion("sd1-like");
  const Draws draws = MakeDraws(8, 8);
  model->EncodePrompt("");
  model->EncodePrompt("");
  model->EncodePrompt("two cats");
  EXPECT_EQ(model->counts().text_encodes, 2);

  const at::Tensor image = at::zeros({1, 3, 32, 32});
  model->EncodeImage(image);
  model->EncodeImage(image.clone().requires_grad_(true));
  {
    const at::NoGradGuard no_grad;
    model->EncodeImage(image.clone().requires_grad_(true));
  }
  EXPECT_EQ(model->counts().vae_encodes, 3);
  EXPECT_EQ(model->counts().vae_encodes_on_graph, 1);

  model->DenoisingLoss(draws.latent, draws.noise, draws.timestep, model->EncodePrompt(""));
  EXPECT_EQ(model->counts().unet_forwards, 1);
}

TEST(StableDiffusionTest, PosteriorIsScaledAndSamplesLinearly) {
  const auto model = MakeGoldenStableDiffusion("sd1-like");
  const GoldenValues golden("sd1-like", "vae");
  const LatentPosterior posterior = model->EncodeImage(golden["sq/image"]);
  const at::Tensor sample = posterior.Sample(golden["sq/noise"]);
  EXPECT_LT((sample / 0.18215 - golden["sq/sample"]).abs().max().item<double>(),
            golden.Tolerance("sq/sample"));
}

TEST(StableDiffusionTest, NoWeightNeedsAGradientUnlessTrainable) {
  const auto model = MakeGoldenStableDiffusion("sd1-like");
  const Draws draws = MakeDraws(8, 8);
  const at::Tensor context = model->EncodePrompt("");
  const auto loss = [&] {
    return model->DenoisingLoss(draws.latent, draws.noise, draws.timestep, context);
  };
  EXPECT_FALSE(loss().requires_grad());
  model->SetUNetTrainable(true);
  loss().backward();
  for (const at::Tensor& weight : model->unet()->parameters()) {
    EXPECT_TRUE(weight.grad().defined());
  }
  model->SetUNetTrainable(false);
  for (const at::Tensor& weight : model->unet()->parameters()) {
    EXPECT_FALSE(weight.requires_grad());
    EXPECT_FALSE(weight.grad().defined());
  }
}

TEST(StableDiffusionTest, NoiseTargetIgnoresThePredictionType) {
  const auto model = MakeGoldenStableDiffusion("sd2-v-like");
  const Draws draws = MakeDraws(8, 8);
  const at::Tensor context = model->EncodePrompt("");
  const at::NoGradGuard no_grad;
  const auto loss = [&](LossTarget target) {
    return model->DenoisingLoss(draws.latent, draws.noise, draws.timestep, context, nullptr, target)
        .item<double>();
  };
  const at::Tensor predicted =
      model->unet()(model->schedule().AddNoise(draws.latent, draws.noise, draws.timestep),
                    draws.timestep, context);
  EXPECT_NEAR(loss(LossTarget::kNoise), at::mse_loss(predicted, draws.noise).item<double>(), 1e-6);
  EXPECT_NE(loss(LossTarget::kNoise), loss(LossTarget::kByPredictionType));
}

TEST(StableDiffusionTest, Bfloat16StaysNearFloat32AndGivesFloat32) {
  const auto exact = MakeGoldenStableDiffusion("sd2-base-like");
  const auto fast = MakeGoldenStableDiffusion("sd2-base-like", at::kBFloat16);
  const Draws draws = MakeDraws(16, 16);
  const auto run = [&](StableDiffusion& model) {
    const at::Tensor image = at::linspace(-1, 1, int64_t{3} * 128 * 128)
                                 .view({1, 3, 128, 128})
                                 .clone()
                                 .requires_grad_(true);
    const LatentPosterior posterior = model.EncodeImage(image);
    EXPECT_EQ(posterior.mean.scalar_type(), at::kFloat);
    EXPECT_EQ(posterior.std.scalar_type(), at::kFloat);
    const at::Tensor embedding = model.EncodePrompt("");
    EXPECT_EQ(embedding.scalar_type(), at::kFloat);
    AttentionCapture capture;
    const at::Tensor loss = model.DenoisingLoss(posterior.Sample(draws.latent), draws.noise,
                                                draws.timestep, embedding, &capture);
    EXPECT_EQ(loss.scalar_type(), at::kFloat);
    EXPECT_EQ(capture.probabilities.at(0).scalar_type(), at::kFloat);
    loss.backward();
    return std::pair{loss.item<double>(), image.grad().flatten()};
  };
  const auto [exact_loss, exact_gradient] = run(*exact);
  const auto [fast_loss, fast_gradient] = run(*fast);
  EXPECT_NE(fast_loss, exact_loss);  // it did compute in another precision
  EXPECT_NEAR(fast_loss, exact_loss, 0.02 * exact_loss);
  // PGD takes the sign: agreement weighted by magnitude.
  const at::Tensor agrees = (exact_gradient.sign() == fast_gradient.sign()).to(at::kFloat);
  const at::Tensor weight = exact_gradient.abs();
  EXPECT_GT(((agrees * weight).sum() / weight.sum()).item<double>(), 0.97);
}

TEST(AutocastScopeTest, RestoresWhatWasThere) {
  EXPECT_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
  {
    const AutocastScope outer(at::kCPU, at::kBFloat16);
    EXPECT_TRUE(at::autocast::is_autocast_enabled(at::kCPU));
    { const AutocastScope inner(at::kCPU, at::kBFloat16); }
    EXPECT_TRUE(at::autocast::is_autocast_enabled(at::kCPU));
  }
  EXPECT_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
  const AutocastScope none(at::kCPU, at::kFloat);
  EXPECT_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
}

TEST(StableDiffusionTest, FactsOfTheModel) {
  const auto four = MakeGoldenStableDiffusion("sd1-like");
  EXPECT_EQ(four->factor(), 8);
  EXPECT_EQ(four->native_side(), 128);
  EXPECT_EQ(four->latent_channels(), 4);
  EXPECT_TRUE(four->HasCrossAttention({}));
  EXPECT_EQ(four->precision(), at::kFloat);
  const auto three = MakeGoldenStableDiffusion("sd2-v-like");
  EXPECT_EQ(three->native_side(), 96);
  EXPECT_TRUE(three->HasCrossAttention({.levels = 1U << 1}));
  EXPECT_FALSE(three->HasCrossAttention({.levels = 1U << 0}));
}

}  // namespace
}  // namespace antidiffusion
