#include "core/image/margins.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>

#include "tests/testing/synthetic_image.h"

namespace antidiffusion {
namespace {

void Fill(Image& image, const Margins& margins, uint8_t level) {
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      if (y >= margins.top && y < image.height - margins.bottom && x >= margins.left &&
          x < image.width - margins.right) {
        continue;
      }
      const size_t at = (static_cast<size_t>(y) * image.width + x) * image.channels;
      std::fill_n(image.pixels.begin() + static_cast<int64_t>(at), image.channels, level);
    }
  }
}

// Mid-grey with a pattern, so that no line of it is blank.
Image Patterned(int width, int height, int channels) {
  Image image{width, height, channels, {}};
  for (size_t i = 0; i < image.size(); ++i) {
    image.pixels.push_back(static_cast<uint8_t>(90 + i % 60));
  }
  return image;
}

TEST(MarginsTest, BarsOfBlackAndOfWhiteAreFound) {
  for (const int channels : {1, 3}) {
    for (const uint8_t level : {0, 2, 253, 255}) {
      const Margins margins = {.top = 5, .bottom = 0, .left = 3, .right = 8};
      Image image = Patterned(40, 30, channels);
      Fill(image, margins, level);
      EXPECT_EQ(FindMargins(image), margins) << channels << " channels of " << int{level};
    }
  }
}

TEST(MarginsTest, ADarkPictureHasNone) {
  for (const uint8_t level : {3, 128, 252}) {
    Image image = Patterned(40, 30, 3);
    Fill(image, {.top = 5, .bottom = 5, .left = 5, .right = 5}, level);
    EXPECT_EQ(FindMargins(image), Margins{}) << int{level};
  }
}

TEST(MarginsTest, ALineOfBothIsAPicture) {
  Image image = Patterned(40, 30, 3);
  Fill(image, {.top = 2}, 0);
  image.pixels[60] = 255;
  EXPECT_EQ(FindMargins(image), Margins{});
}

TEST(MarginsTest, AnImageOfNothingElseHasNone) {
  Image image = Patterned(40, 30, 3);
  std::fill(image.pixels.begin(), image.pixels.end(), 255);
  EXPECT_EQ(FindMargins(image), Margins{});
}

}  // namespace
}  // namespace antidiffusion
