#include "core/surrogate/noise_schedule.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <string>

#include "core/checkpoint/safetensors.h"
#include "tests/testing/golden.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

NoiseScheduleConfig StableDiffusionSchedule() {
  NoiseScheduleConfig config;
  config.beta_start = 0.00085;
  config.beta_end = 0.012;
  config.beta_schedule = "scaled_linear";
  return config;
}

TEST(NoiseScheduleTest, EqualsTheReference) {
  AD_ASSERT_OK_AND_ASSIGN(const NoiseSchedule schedule,
                          NoiseSchedule::Create(StableDiffusionSchedule()));
  for (const std::string& model : GoldenModelNames()) {
    const GoldenValues golden(model, "scheduler");
    Parity parity(model);
    parity.Expect("schedule alphas_cumprod", golden, "alphas_cumprod", schedule.alphas_cumprod());
    const at::Tensor x = golden["x"], noise = golden["noise"], t = golden["t"];
    parity.Expect("schedule noised", golden, "add_noise", schedule.AddNoise(x, noise, t));
    parity.Expect("schedule velocity", golden, "velocity", schedule.Velocity(x, noise, t));
  }
}

TEST(NoiseScheduleTest, TargetFollowsThePredictionType) {
  NoiseScheduleConfig config = StableDiffusionSchedule();
  const at::Tensor x = at::ones({1, 1, 2, 2}), noise = at::full({1, 1, 2, 2}, 0.5);
  const at::Tensor t = at::tensor({300});
  AD_ASSERT_OK_AND_ASSIGN(const NoiseSchedule epsilon, NoiseSchedule::Create(config));
  EXPECT_TRUE(at::equal(epsilon.Target(x, noise, t), noise));
  config.prediction_type = PredictionType::kVPrediction;
  AD_ASSERT_OK_AND_ASSIGN(const NoiseSchedule velocity, NoiseSchedule::Create(config));
  EXPECT_TRUE(at::equal(velocity.Target(x, noise, t), velocity.Velocity(x, noise, t)));
  EXPECT_EQ(velocity.prediction_type(), PredictionType::kVPrediction);
}

TEST(NoiseScheduleTest, LinearAndCosineFollowTheirFormulas) {
  NoiseScheduleConfig config;  // linear from 1e-4 to 0.02
  AD_ASSERT_OK_AND_ASSIGN(const NoiseSchedule linear, NoiseSchedule::Create(config));
  const at::Tensor& abar = linear.alphas_cumprod();
  EXPECT_NEAR(abar[0].item<double>(), 1 - 1e-4, 1e-6);
  EXPECT_NEAR((1 - abar[999] / abar[998]).item<double>(), 0.02, 1e-5);
  config.beta_schedule = "squaredcos_cap_v2";
  config.num_train_timesteps = 100;
  AD_ASSERT_OK_AND_ASSIGN(const NoiseSchedule cosine, NoiseSchedule::Create(config));
  EXPECT_EQ(cosine.timesteps(), 100);
  const auto alpha_bar = [](double u) {
    return std::pow(std::cos((u + 0.008) / 1.008 * std::numbers::pi / 2), 2);
  };
  EXPECT_NEAR(cosine.alphas_cumprod()[49].item<double>(), alpha_bar(0.5) / alpha_bar(0), 1e-5);
  // The last beta would be 1: it is capped.
  EXPECT_NEAR((cosine.alphas_cumprod()[99] / cosine.alphas_cumprod()[98]).item<double>(), 0.001,
              1e-6);
}

// Written by tests/golden/scripts/make_rescaled_schedule.py.
TEST(NoiseScheduleTest, RescaledToZeroTerminalSnrEqualsTheReference) {
  AD_ASSERT_OK_AND_ASSIGN(const SafetensorsFile golden,
                          SafetensorsFile::Open(GoldenPath("rescaled_schedule.safetensors")));
  for (const std::string kind : {"linear", "scaled_linear"}) {
    NoiseScheduleConfig config = StableDiffusionSchedule();
    config.beta_schedule = kind;
    config.rescale_betas_zero_snr = true;
    AD_ASSERT_OK_AND_ASSIGN(const NoiseSchedule schedule, NoiseSchedule::Create(config));
    AD_ASSERT_OK_AND_ASSIGN(const at::Tensor expected, golden.Read(kind));
    EXPECT_LT((schedule.alphas_cumprod() - expected).abs().max().item<double>(), 3e-7);
    EXPECT_EQ(schedule.alphas_cumprod()[999].item<double>(), 0);
    // Of the last step nothing but noise is left, and v is the latent with its sign changed.
    const at::Tensor x = at::full({1, 1, 2, 2}, 3.0), noise = at::ones({1, 1, 2, 2});
    EXPECT_TRUE(at::equal(schedule.AddNoise(x, noise, at::tensor({999})), noise));
    EXPECT_TRUE(at::equal(schedule.Velocity(x, noise, at::tensor({999})), -x));
  }
}

TEST(NoiseScheduleTest, RefusesWhatCannotBeRescaled) {
  NoiseScheduleConfig config = StableDiffusionSchedule();
  config.rescale_betas_zero_snr = true;
  config.num_train_timesteps = 1;
  EXPECT_THAT(NoiseSchedule::Create(config),
              StatusIs(absl::StatusCode::kInvalidArgument, "rescale_betas_zero_snr"));
  config.num_train_timesteps = 1000;
  config.beta_start = config.beta_end = 0.9;  // abar is 0 long before the end
  EXPECT_THAT(NoiseSchedule::Create(config),
              StatusIs(absl::StatusCode::kInvalidArgument, "rescale_betas_zero_snr"));
}

TEST(NoiseScheduleTest, RefusesWhatDoesNotAddUp) {
  const auto refuses = [](const NoiseScheduleConfig& config, const std::string& what) {
    EXPECT_THAT(NoiseSchedule::Create(config), StatusIs(absl::StatusCode::kInvalidArgument, what));
  };
  NoiseScheduleConfig config = StableDiffusionSchedule();
  config.beta_schedule = "sigmoid";
  refuses(config, "sigmoid");
  for (const int64_t timesteps : {int64_t{0}, int64_t{-1}, int64_t{100'001}}) {
    config = StableDiffusionSchedule();
    config.num_train_timesteps = timesteps;
    refuses(config, "num_train_timesteps");
  }
  for (const auto& [from, to] :
       {std::pair{0.0, 0.1}, {0.2, 0.1}, {0.1, 1.0}, {std::nan(""), 0.1}, {0.1, std::nan("")}}) {
    config = StableDiffusionSchedule();
    config.beta_start = from;
    config.beta_end = to;
    refuses(config, "betas");
  }
}

TEST(NoiseScheduleTest, MovedToADeviceItComputesTheSame) {
  AD_ASSERT_OK_AND_ASSIGN(const NoiseSchedule schedule,
                          NoiseSchedule::Create(StableDiffusionSchedule()));
  const NoiseSchedule moved = schedule.To(at::kCPU);
  const at::Tensor x = at::ones({2, 1, 2, 2}), t = at::tensor({0, 999});
  EXPECT_TRUE(at::equal(moved.AddNoise(x, x, t), schedule.AddNoise(x, x, t)));
  EXPECT_ANY_THROW(moved.AddNoise(x, x, at::tensor({0, 1000})));
}

}  // namespace
}  // namespace antidiffusion
