#include "core/protect/visibility_limit.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <stop_token>

#include "core/image/similarity.h"
#include "core/image/visibility.h"
#include "core/tensor/image_tensor.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/synthetic_image.h"

namespace antidiffusion {
namespace {

constexpr double kLevel = 1 / 127.5;  // on [-1,1]

// Random patches of `side` pixels, each channel by itself, within `levels`.
at::Tensor Patches(const Image& image, int64_t side, double levels) {
  at::manual_seed(3);
  const at::Tensor small =
      at::rand({1, 3, image.height / side, image.width / side}).mul(2).sub(1).sign();
  return levels * kLevel * small.repeat_interleave(side, 2).repeat_interleave(side, 3);
}

absl::StatusOr<Image> Unseen(const Image& image, const at::Tensor& difference, int bound,
                             double chroma, const RunContext& run = {}, const Image& room = {}) {
  return ApplyUnseen(image, difference, bound, room, chroma, ProgressMeter(run, {}, 0));
}

TEST(VisibilityLimitTest, PatchesOfColourAreHeldToTheBound) {
  const Image image = SyntheticImage(256, 192);
  const at::Tensor patches = Patches(image, 16, 6);
  const Image free = ApplyDifference(image, patches, 6);
  AD_ASSERT_OK_AND_ASSIGN(const Visibility before, MeasureVisibility(image, free));
  EXPECT_GT(before.chroma_bias, 1.2);
  for (const double bound : {0.3, 0.6, 1.0}) {
    AD_ASSERT_OK_AND_ASSIGN(const Image unseen, Unseen(image, patches, 6, bound));
    AD_ASSERT_OK_AND_ASSIGN(const Visibility after, MeasureVisibility(image, unseen));
    EXPECT_LE(after.chroma_bias, bound);
    EXPECT_LE(after.chroma_bias_95, bound / 0.6);
    EXPECT_GT(after.chroma_bias, 0) << "it is weakened, not dropped";
    EXPECT_LE(MaxDifference(image, unseen).value(), 6);
  }
}

TEST(VisibilityLimitTest, WhatIsUnseenAnywayStays) {
  const Image image = SyntheticImage(128, 128);
  const at::Tensor noise = Patches(image, 1, 6);
  AD_ASSERT_OK_AND_ASSIGN(const Image unseen, Unseen(image, noise, 6, 0.6));
  EXPECT_EQ(unseen.pixels, ApplyDifference(image, noise, 6).pixels);
}

TEST(VisibilityLimitTest, ProjectionLeavesFinePatternsAndTakesPatches) {
  const Image image = SyntheticImage(128, 128);
  const at::Tensor original = ImageToTensor(image) * 0.8;  // away from the ends of the range
  const VisibilityLimit limit(original, 1, 0.6);
  const at::Tensor fine = Patches(image, 1, 6);
  const at::Tensor coarse = Patches(image, 32, 6);
  const auto left = [&](const at::Tensor& change) {
    return ((limit.Project(original + change) - original).norm() / change.norm()).item<double>();
  };
  EXPECT_GT(left(fine), 0.95);
  EXPECT_LT(left(coarse), 0.6);
}

// Nothing in the first `top` and the last `bottom` rows, half of the budget in between.
Image HalfRoom(const Image& image, int top, int bottom) {
  Image room = {image.width, image.height, 1, {}};
  room.pixels.assign(room.size(), 127);
  std::fill_n(room.pixels.begin(), top * image.width, 0);
  std::fill_n(room.pixels.rbegin(), bottom * image.width, 0);
  return room;
}

TEST(VisibilityLimitTest, WhatHasNoRoomStaysAsItIs) {
  const Image image = SyntheticImage(128, 128);
  AD_ASSERT_OK_AND_ASSIGN(const Image unseen,
                          Unseen(image, Patches(image, 16, 6), 6, 0.6, {}, HalfRoom(image, 9, 40)));
  const at::Tensor moved =
      (ImageToTensor(unseen) - ImageToTensor(image)).abs().amax({1, 3})[0] / kLevel;
  EXPECT_EQ(moved.slice(0, 0, 9).max().item<float>(), 0);
  EXPECT_EQ(moved.slice(0, 88).max().item<float>(), 0);
  EXPECT_NEAR(moved.slice(0, 9, 88).max().item<float>(), 3, 1e-3) << "half of 6, rounded";
}

TEST(VisibilityLimitTest, AnEnlargedPixelIsAPatch) {
  const Image image = SyntheticImage(64, 64);
  const at::Tensor original = ImageToTensor(image) * 0.8;
  const at::Tensor fine = Patches(image, 1, 6);
  const auto left = [&](double scale) {
    const VisibilityLimit limit(original, scale, 0.6);
    return (limit.Project(original + fine) - original).norm().item<double>();
  };
  EXPECT_LT(left(16), 0.6 * left(1));
}

// Bands must not show: an image of more rows than one band is limited as a smaller one.
TEST(VisibilityLimitTest, TallImagesAreLimitedInBands) {
  const Image image = SyntheticImage(96, 1200);
  AD_ASSERT_OK_AND_ASSIGN(const Image unseen, Unseen(image, Patches(image, 16, 6), 6, 0.6));
  AD_ASSERT_OK_AND_ASSIGN(const Visibility seen, MeasureVisibility(image, unseen));
  EXPECT_LE(seen.chroma_bias, 0.6);
  EXPECT_GT(seen.chroma_bias, 0.1);

  // No room in more rows than a band.
  AD_ASSERT_OK_AND_ASSIGN(const Image framed, Unseen(image, Patches(image, 16, 6), 6, 0.2, {},
                                                     HalfRoom(image, 100, 600)));
  const at::Tensor moved = (ImageToTensor(framed) - ImageToTensor(image)).abs().amax({1, 3})[0];
  EXPECT_EQ(moved.slice(0, 0, 100).max().item<float>(), 0);
  EXPECT_EQ(moved.slice(0, 600).max().item<float>(), 0);
  EXPECT_GT(moved.slice(0, 100, 600).min().item<float>(), 0) << "every row of the picture";
}

TEST(VisibilityLimitTest, ALimitThatNoChangeKeepsIsRefused) {
  const Image image = SyntheticImage(64, 64);
  EXPECT_THAT(Unseen(image, Patches(image, 16, 6), 6, 1e-9), ViolatesField("options.visibility"));
}

TEST(VisibilityLimitTest, AsksBeforeEveryRound) {
  const Image image = SyntheticImage(64, 64);
  std::stop_source stop;
  RunContext run;
  run.stop = stop.get_token();
  int asked = 0;
  run.on_alive = [&] {
    if (++asked == 3) stop.request_stop();
  };
  EXPECT_THAT(Unseen(image, Patches(image, 16, 6), 6, 1e-9, run),
              StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(asked, 3);
}

}  // namespace
}  // namespace antidiffusion
