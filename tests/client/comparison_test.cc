#include "client/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/core/image/fixtures.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/synthetic_image.h"

namespace antidiffusion {
namespace {

Image Brighter(Image image, int levels) {
  for (uint8_t& sample : image.pixels)
    sample = static_cast<uint8_t>(std::min(255, sample + levels));
  return image;
}

int SampleAt(const Image& image, int x, int y, int c) {
  return image.pixels.at((size_t{1} * y * image.width + x) * 3 + c);
}

TEST(CompareImagesTest, ShowsOriginalProtectedAndAmplifiedDifference) {
  // 200 pixels wide: neither scaled down nor enlarged.
  const Image original = FromFormula(200, 100, 3, [](int, int, int c) { return 50 * (c + 1); });
  AD_ASSERT_OK_AND_ASSIGN(
      const Image picture,
      CompareImages({{original, Brighter(original, 5), "a label"}}, {.amplification = 8}));
  EXPECT_EQ(picture.width, 3 * 200 + 4 * 8);
  EXPECT_EQ(picture.height, 100 + 24 + 2 * 8);
  ASSERT_EQ(picture.pixels.size(), picture.size());
  const int y = 80;
  for (int c = 0; c < 3; ++c) {
    EXPECT_EQ(SampleAt(picture, 100, y, c), 50 * (c + 1));
    EXPECT_EQ(SampleAt(picture, 308, y, c), 50 * (c + 1) + 5);
    EXPECT_EQ(SampleAt(picture, 516, y, c), 128 + 8 * 5);
  }
}

TEST(CompareImagesTest, TheDifferenceIsClamped) {
  const Image dark{200, 100, 1, std::vector<uint8_t>(20'000, 100)};
  const Image bright{200, 100, 1, std::vector<uint8_t>(20'000, 140)};
  AD_ASSERT_OK_AND_ASSIGN(const Image up, CompareImages({{dark, bright, ""}}));
  AD_ASSERT_OK_AND_ASSIGN(const Image down, CompareImages({{bright, dark, ""}}));
  EXPECT_EQ(SampleAt(up, 516, 80, 0), 255);
  EXPECT_EQ(SampleAt(down, 516, 80, 0), 0);
}

TEST(CompareImagesTest, ARowFitsTheWidthAndKeepsItsRatio) {
  const Image large = SyntheticImage(1800, 900);
  const Image small = SyntheticImage(64, 96, 1);
  AD_ASSERT_OK_AND_ASSIGN(const Image picture, CompareImages({{large, Brighter(large, 3), "x"},
                                                              {small, Brighter(small, 3), "y"}},
                                                             {.max_width = 800}));
  const int panel = (800 - 4 * 8) / 3;  // 256
  EXPECT_EQ(picture.width, 800);
  // The large one at a 256th of its width, the small one enlarged three times.
  EXPECT_EQ(picture.height, 3 * 8 + 2 * 24 + panel / 2 + 3 * 96);
}

TEST(CompareImagesTest, CaptionsAreDrawn) {
  const Image image = SyntheticImage(200, 64);
  AD_ASSERT_OK_AND_ASSIGN(const Image with, CompareImages({{image, image, "name"}}));
  AD_ASSERT_OK_AND_ASSIGN(const Image without, CompareImages({{image, image, ""}}));
  EXPECT_NE(with, without);
}

TEST(CompareImagesTest, RefusesWhatCannotBeCompared) {
  const Image a = SyntheticImage(64, 64);
  EXPECT_THAT(CompareImages({}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(CompareImages({{a, SyntheticImage(65, 64), ""}}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(CompareImages({{a, a, ""}}, {.amplification = 0}), ViolatesField("amplification"));
  EXPECT_THAT(CompareImages({{a, a, ""}}, {.max_width = 10}), ViolatesField("max_width"));
}

}  // namespace
}  // namespace antidiffusion
