#include "core/image/visibility.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>

#include "tests/testing/status_matchers.h"
#include "tests/testing/synthetic_image.h"

namespace antidiffusion {
namespace {

Image Flat(int side, uint8_t level, int channels = 3) {
  Image image{side, side, channels, {}};
  image.pixels.assign(image.size(), level);
  return image;
}

// Red up and blue down in the columns before `end`.
Image Tinted(Image image, int end, int levels) {
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < end; ++x) {
      uint8_t* const pixel = &image.pixels[(static_cast<size_t>(y) * image.width + x) * 3];
      pixel[0] = static_cast<uint8_t>(pixel[0] + levels);
      pixel[2] = static_cast<uint8_t>(pixel[2] - levels);
    }
  }
  return image;
}

Image WithNoise(Image image, int levels) {
  std::mt19937 random(1);
  for (uint8_t& sample : image.pixels) {
    sample = static_cast<uint8_t>(sample + ((random() & 1) != 0 ? levels : -levels));
  }
  return image;
}

TEST(VisibilityTest, WithoutAChangeNothingIsSeen) {
  const Image image = SyntheticImage(100, 70);
  AD_ASSERT_OK_AND_ASSIGN(const Visibility seen, MeasureVisibility(image, image));
  EXPECT_EQ(seen.chroma_bias, 0);
  EXPECT_EQ(seen.chroma_bias_95, 0);
  EXPECT_EQ(seen.low_frequency_share, 0);
}

TEST(VisibilityTest, AnEvenTintIsSeen) {
  const Image grey = Flat(96, 128);
  AD_ASSERT_OK_AND_ASSIGN(const Visibility seen, MeasureVisibility(grey, Tinted(grey, 96, 6)));
  // CIELAB of sRGB (134, 128, 122) by the formulas of CIE 15, D65: a* 1.14, b* 4.06.
  EXPECT_NEAR(seen.chroma_bias, 4.216, 0.01);
  EXPECT_NEAR(seen.chroma_bias_95, seen.chroma_bias, 1e-3);
  EXPECT_NEAR(seen.low_frequency_share, 1, 1e-6);
}

TEST(VisibilityTest, NoiseOfTheSameSizeIsNot) {
  const Image grey = Flat(256, 128);
  AD_ASSERT_OK_AND_ASSIGN(const Visibility seen, MeasureVisibility(grey, WithNoise(grey, 6)));
  EXPECT_LT(seen.chroma_bias, 0.3);
  EXPECT_LT(seen.low_frequency_share, 0.01);
}

TEST(VisibilityTest, OneBlockInSixteenIsBeyondTheNinetyFivePercent) {
  const Image grey = Flat(640, 128);  // 20 blocks a side
  const auto of_columns = [&](int columns) {
    return MeasureVisibility(grey, Tinted(grey, 32 * columns, 6)).value();
  };
  EXPECT_EQ(of_columns(1).chroma_bias_95, 0);
  EXPECT_GT(of_columns(2).chroma_bias_95, 4);
  EXPECT_NEAR(of_columns(2).chroma_bias, 4.2 / 10, 0.02);
}

TEST(VisibilityTest, GreyHasNoColourToShift) {
  const Image grey = Flat(64, 100, 1);
  AD_ASSERT_OK_AND_ASSIGN(const Visibility seen, MeasureVisibility(grey, Flat(64, 104, 1)));
  EXPECT_EQ(seen.chroma_bias, 0);
  EXPECT_NEAR(seen.low_frequency_share, 1, 1e-6);
}

TEST(VisibilityTest, ShapesMustAgree) {
  EXPECT_THAT(MeasureVisibility(Flat(64, 1), Flat(65, 1)),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace antidiffusion
