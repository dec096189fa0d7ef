#include "core/image/similarity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/core/image/fixtures.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/synthetic_image.h"

namespace antidiffusion {
namespace {

// Printed by similarity_reference.py: scikit-image on the same formulas.
struct Reference {
  int width, height, channels;
  double psnr, ssim;
};
constexpr Reference kReferences[] = {
    {72, 64, 3, 31.788381545738, 0.839025809511},
    {72, 64, 1, 31.787885647578, 0.753107590937},
    {201, 12, 3, 31.793802674190, 0.841367563132},
    {11, 11, 1, 31.845647712682, 0.735467845216},
};

int Disturbed(int x, int y, int c) {
  return std::clamp(Sample(x, y, c) + (x * 7 + y * 13 + c * 5) % 23 - 11, 0, 255);
}

TEST(SimilarityTest, AgreesWithScikitImage) {
  for (const Reference& reference : kReferences) {
    SCOPED_TRACE(reference.width);
    const Image a = FromFormula(reference.width, reference.height, reference.channels, Sample);
    const Image b = FromFormula(reference.width, reference.height, reference.channels, Disturbed);
    AD_ASSERT_OK_AND_ASSIGN(const double psnr, Psnr(a, b));
    AD_ASSERT_OK_AND_ASSIGN(const double ssim, Ssim(a, b));
    EXPECT_NEAR(psnr, reference.psnr, 1e-9);
    EXPECT_NEAR(ssim, reference.ssim, 1e-6);  // ours is computed in float
  }
}

TEST(SimilarityTest, EqualImages) {
  const Image image = SyntheticImage(40, 30);
  EXPECT_EQ(*MaxDifference(image, image), 0);
  EXPECT_TRUE(std::isinf(*Psnr(image, image)));
  EXPECT_EQ(*Ssim(image, image), 1.0);
}

TEST(SimilarityTest, MaxDifferenceSeesASingleSampleInEitherDirection) {
  const Image image = SyntheticImage(40, 30);
  for (const int change : {-9, 9}) {
    Image changed = image;
    uint8_t& sample = *std::find_if(changed.pixels.begin() + 1000, changed.pixels.end(),
                                    [](int v) { return v > 20 && v < 200; });
    sample = static_cast<uint8_t>(sample + change);
    EXPECT_EQ(*MaxDifference(image, changed), 9);
    EXPECT_EQ(*MaxDifference(changed, image), 9);
  }
  Image black{1, 1, 1, {0}}, white{1, 1, 1, {255}};
  EXPECT_EQ(*MaxDifference(black, white), 255);
}

// The maps are taken in bands of a quarter of a megapixel. This image has several, and its
// transpose, which is as similar, has them elsewhere.
TEST(SimilarityTest, BandsDoNotShow) {
  constexpr int kWidth = 700, kHeight = 900;
  const auto transposed = [](const Formula& formula) {
    return FromFormula(kHeight, kWidth, 1, [&](int x, int y, int c) { return formula(y, x, c); });
  };
  AD_ASSERT_OK_AND_ASSIGN(const double upright, Ssim(FromFormula(kWidth, kHeight, 1, Sample),
                                                     FromFormula(kWidth, kHeight, 1, Disturbed)));
  AD_ASSERT_OK_AND_ASSIGN(const double turned, Ssim(transposed(Sample), transposed(Disturbed)));
  EXPECT_NEAR(upright, turned, 1e-6);
}

TEST(SimilarityTest, RefusesDifferentShapes) {
  const Image a = SyntheticImage(20, 20);
  Image broken = a;
  broken.pixels.pop_back();
  for (const Image& b : {SyntheticImage(20, 21), SyntheticImage(21, 20), SyntheticImage(20, 20, 1),
                         Image{}, broken}) {
    EXPECT_THAT(MaxDifference(a, b), StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(Psnr(a, b), StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(Ssim(a, b), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

}  // namespace
}  // namespace antidiffusion
