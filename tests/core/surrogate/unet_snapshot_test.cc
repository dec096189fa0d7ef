#include "core/surrogate/unet_snapshot.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/testing/golden.h"

namespace antidiffusion {
namespace {

TEST(UNetSnapshotTest, RestoresEveryBitAndMeasuresTheDrift) {
  UNet unet = LoadGoldenUNet("sd1-like");
  const std::vector<at::Tensor> weights = unet->parameters();
  UNetSnapshot snapshot(unet);
  EXPECT_TRUE(snapshot.IsPristine());
  EXPECT_EQ(snapshot.Drift(), 0);

  const at::NoGradGuard no_grad;
  const at::Tensor &first = weights.front(), &last = weights.back();
  first[0][0][0][0] += 3;
  last[0] -= 4;
  EXPECT_FALSE(snapshot.IsPristine());
  EXPECT_NEAR(snapshot.Drift(), 5, 1e-5);

  first.fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_TRUE(std::isnan(snapshot.Drift()));
  snapshot.Restore();
  EXPECT_TRUE(snapshot.IsPristine());
  EXPECT_EQ(snapshot.Drift(), 0);
  EXPECT_TRUE(at::equal(weights.front(), LoadGoldenUNet("sd1-like")->parameters().front()));
}

// The copies are apart, and a weight that requires a gradient may be restored in place.
TEST(UNetSnapshotTest, RestoresWeightsThatRequireGradients) {
  UNet unet = LoadGoldenUNet("sd1-like");
  UNetSnapshot snapshot(unet);
  at::Tensor weight = unet->parameters().front().requires_grad_(true);
  {
    const at::NoGradGuard no_grad;
    weight.zero_();
  }
  snapshot.Restore();
  EXPECT_TRUE(snapshot.IsPristine());
  EXPECT_TRUE(weight.requires_grad());
  EXPECT_TRUE(weight.is_leaf());
}

}  // namespace
}  // namespace antidiffusion
