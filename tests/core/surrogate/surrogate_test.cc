#include "core/surrogate/surrogate.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/surrogate/autocast.h"
#include "tests/core/surrogate/golden_surrogate.h"
#include "tests/testing/golden.h"

namespace antidiffusion {
namespace {

struct Draws {
  at::Tensor latent;
  NoiseDraw draw;
};

Draws MakeDraws(int64_t height, int64_t width) {
  at::manual_seed(11);
  const at::Tensor latent = at::randn({1, 4, height, width});
  return {latent, {at::randn({1, 4, height, width}), at::tensor({300})}};
}

TEST(SurrogateTest, CountsEveryPassOnce) {
  const Surrogate model = MakeGoldenSurrogate("sd1-like");
  Denoiser& denoiser = *model.denoiser;
  const Draws draws = MakeDraws(8, 8);
  ASSERT_TRUE(denoiser.Condition("", 32, 32).ok());
  ASSERT_TRUE(denoiser.Condition("", 32, 32).ok());
  ASSERT_TRUE(denoiser.Condition("two cats", 32, 32).ok());
  EXPECT_EQ(denoiser.text_encodes(), 2);

  const at::Tensor image = at::zeros({1, 3, 32, 32});
  model.Encode(image);
  model.Encode(image.clone().requires_grad_(true));
  {
    const at::NoGradGuard no_grad;
    model.Encode(image.clone().requires_grad_(true));
  }
  EXPECT_EQ(model.encoder->encodes(), 3);
  EXPECT_EQ(model.encoder->encodes_on_graph(), 1);

  DenoisingLoss(denoiser, draws.latent, draws.draw, denoiser.Condition("", 32, 32).value(), {});
  EXPECT_EQ(denoiser.forwards(), 1);
}

TEST(SurrogateTest, PosteriorIsScaledAndSamplesLinearly) {
  const Surrogate model = MakeGoldenSurrogate("sd1-like");
  const GoldenValues golden("sd1-like", "vae");
  const LatentPosterior posterior = model.encoder->Encode(golden["sq/image"]);
  const at::Tensor sample = posterior.Sample(golden["sq/noise"]);
  EXPECT_LT((sample / 0.18215 - golden["sq/sample"]).abs().max().item<double>(),
            golden.Tolerance("sq/sample"));
  EXPECT_LT((posterior.unscaled_mean * 0.18215 - posterior.mean).abs().max().item<double>(), 1e-6);
}

TEST(SurrogateTest, NoiseTargetIgnoresThePredictionType) {
  const Surrogate model = MakeGoldenSurrogate("sd2-v-like");
  Denoiser& denoiser = *model.denoiser;
  const Draws draws = MakeDraws(8, 8);
  const Conditioning conditioning = denoiser.Condition("", 64, 64).value();
  const at::NoGradGuard no_grad;
  const auto loss = [&](LossTarget target) {
    return DenoisingLoss(denoiser, draws.latent, draws.draw, conditioning, {}, nullptr, target)
        .item<double>();
  };
  const at::Tensor predicted = denoiser.Predict(denoiser.AddNoise(draws.latent, draws.draw),
                                                draws.draw.timestep, conditioning, {});
  EXPECT_NEAR(loss(LossTarget::kNoise), at::mse_loss(predicted, draws.draw.noise).item<double>(),
              1e-6);
  EXPECT_NE(loss(LossTarget::kNoise), loss(LossTarget::kByPredictionType));
}

TEST(SurrogateTest, Bfloat16StaysNearFloat32AndGivesFloat32) {
  const Surrogate exact = MakeGoldenSurrogate("sd2-base-like");
  const Surrogate fast = MakeGoldenSurrogate("sd2-base-like", at::kBFloat16);
  const Draws draws = MakeDraws(16, 16);
  const auto run = [&](const Surrogate& model) {
    const at::Tensor image = at::linspace(-1, 1, int64_t{3} * 128 * 128)
                                 .view({1, 3, 128, 128})
                                 .clone()
                                 .requires_grad_(true);
    const LatentPosterior posterior = model.encoder->Encode(image);
    EXPECT_EQ(posterior.mean.scalar_type(), at::kFloat);
    EXPECT_EQ(posterior.std.scalar_type(), at::kFloat);
    const Conditioning prompt = model.denoiser->Condition("", 128, 128).value();
    EXPECT_EQ(prompt.context.scalar_type(), at::kFloat);
    AttentionCapture capture;
    const at::Tensor loss = DenoisingLoss(*model.denoiser, posterior.Sample(draws.latent),
                                          draws.draw, prompt, {}, &capture);
    EXPECT_EQ(loss.scalar_type(), at::kFloat);
    EXPECT_EQ(capture.probabilities.at(0).scalar_type(), at::kFloat);
    loss.backward();
    return std::pair{loss.item<double>(), image.grad().flatten()};
  };
  const auto [exact_loss, exact_gradient] = run(exact);
  const auto [fast_loss, fast_gradient] = run(fast);
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

TEST(SurrogateTest, FactsOfTheModel) {
  const Surrogate four = MakeGoldenSurrogate("sd1-like");
  EXPECT_EQ(four.encoder->factor(), 8);
  EXPECT_EQ(four.native_side, 128);
  EXPECT_EQ(four.encoder->latent_channels(), 4);
  EXPECT_TRUE(four.denoiser->HasCrossAttention({}));
  EXPECT_EQ(four.denoiser->prediction_type(), "epsilon");
  EXPECT_FALSE(four.denoiser->guides_by_image());
  EXPECT_EQ(four.precision, at::kFloat);
  const Surrogate three = MakeGoldenSurrogate("sd2-v-like");
  EXPECT_EQ(three.native_side, 96);
  EXPECT_EQ(three.denoiser->prediction_type(), "v_prediction");
  EXPECT_TRUE(three.denoiser->HasCrossAttention({.levels = 1U << 1}));
  EXPECT_FALSE(three.denoiser->HasCrossAttention({.levels = 1U << 0}));
}

}  // namespace
}  // namespace antidiffusion
