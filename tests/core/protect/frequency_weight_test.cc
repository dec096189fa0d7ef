#include "core/protect/frequency_weight.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace antidiffusion {
namespace {

// A wave along the rows' direction, of `half_waves` in 8 pixels.
at::Tensor Wave(double half_waves) {
  const at::Tensor x = at::arange(64, at::kFloat) * (std::numbers::pi * half_waves / 8);
  return x.cos().view({1, 1, 1, 64}).expand({1, 3, 48, 64}).contiguous();
}

double Gain(double half_waves, double scale, double power) {
  const at::Tensor wave = Wave(half_waves);
  const FrequencyWeight weight(48, 64, scale, power, wave.options());
  return (weight.Apply(wave).norm() / wave.norm()).item<double>();
}

TEST(FrequencyWeightTest, LeavesEverythingAtPowerZero) {
  at::manual_seed(1);
  for (const int64_t width : {64, 63}) {
    const at::Tensor gradient = at::randn({1, 1, 48, width});
    const FrequencyWeight weight(48, width, 1, 0, gradient.options());
    EXPECT_TRUE(at::allclose(weight.Apply(gradient), gradient, 1e-4, 1e-5)) << width;
  }
}

TEST(FrequencyWeightTest, WeighsWavesByTheStepsOfTheTable) {
  EXPECT_NEAR(Gain(2, 1, 1), 12 / 66.5, 1e-4);
  EXPECT_NEAR(Gain(2.5, 1, 1), 13.5 / 66.5, 1e-4) << "between two entries";
  EXPECT_NEAR(Gain(6, 1, 1), 50 / 66.5, 1e-4);
  EXPECT_NEAR(Gain(8, 1, 1), 1, 1e-4) << "beyond the table its last entry holds";
  EXPECT_NEAR(Gain(6, 1, 0.5), std::sqrt(50 / 66.5), 1e-4);
}

TEST(FrequencyWeightTest, CountsInPixelsOfTheImage) {
  EXPECT_NEAR(Gain(6, 3, 1), 12 / 66.5, 1e-4) << "two half waves in 8 of the image's pixels";
}

}  // namespace
}  // namespace antidiffusion
