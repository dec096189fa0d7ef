// Files of other programs become the pixels that were put into them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "core/image/codec.h"
#include "core/image/similarity.h"
#include "tests/core/image/fixtures.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

Image Expected(int channels) {
  return FromFormula(kFixtureWidth, kFixtureHeight, channels, Sample);
}

// What orientation 6 (turn by 90 degrees clockwise) makes of a formula.
Image TurnedClockwise(const Formula& formula) {
  return FromFormula(kFixtureHeight, kFixtureWidth, 3,
                     [&](int x, int y, int c) { return formula(y, kFixtureHeight - 1 - x, c); });
}

TEST(DecodeTest, PngRgbIsTurnedUprightAndKeepsItsProfile) {
  AD_ASSERT_OK_AND_ASSIGN(const Picture picture, DecodePicture(Fixture("rgb.png"), {}));
  EXPECT_EQ(picture.format, ImageFormat::kPng);
  EXPECT_EQ(picture.image, TurnedClockwise(Sample));
  EXPECT_TRUE(picture.alpha.empty());
  EXPECT_EQ(picture.metadata.icc, Fixture("srgb.icc"));
  EXPECT_FALSE(picture.metadata.exif.empty());
}

TEST(DecodeTest, PngRgba) {
  AD_ASSERT_OK_AND_ASSIGN(const Picture picture, DecodePicture(Fixture("rgba.png"), {}));
  EXPECT_EQ(picture.image, Expected(3));
  EXPECT_EQ(picture.alpha, Plane(kFixtureWidth, kFixtureHeight, Sample, 3));
  EXPECT_TRUE(picture.metadata.icc.empty());
  EXPECT_TRUE(picture.metadata.exif.empty());
}

TEST(DecodeTest, PngGrayStaysGray) {
  AD_ASSERT_OK_AND_ASSIGN(const Picture picture, DecodePicture(Fixture("gray.png"), {}));
  EXPECT_EQ(picture.image, Expected(1));
  EXPECT_TRUE(picture.alpha.empty());
}

TEST(DecodeTest, PngGrayWithAlphaStaysGrayWithAlpha) {
  AD_ASSERT_OK_AND_ASSIGN(const Picture picture, DecodePicture(Fixture("gray_alpha.png"), {}));
  EXPECT_EQ(picture.image, Expected(1));
  EXPECT_EQ(picture.alpha, Plane(kFixtureWidth, kFixtureHeight, Sample, 1));
}

TEST(DecodeTest, PngGrayOfFewBitsIsSpreadOverEight) {
  for (const int depth : {1, 2, 4}) {
    SCOPED_TRACE(depth);
    AD_ASSERT_OK_AND_ASSIGN(const Picture picture,
                            DecodePicture(Fixture("gray" + std::to_string(depth) + ".png"), {}));
    const int levels = (1 << depth) - 1;
    EXPECT_EQ(picture.image, FromFormula(kFixtureWidth, kFixtureHeight, 1, [&](int x, int y, int) {
                return (Sample(x, y, 0) >> (8 - depth)) * 255 / levels;
              }));
  }
}

TEST(DecodeTest, PngTransparentGrayLevelBecomesAlpha) {
  AD_ASSERT_OK_AND_ASSIGN(const Picture picture,
                          DecodePicture(Fixture("gray2_transparent.png"), {}));
  EXPECT_EQ(picture.image.channels, 1);
  const auto alpha = [](int x, int y, int) { return Sample(x, y, 0) >> 6 == 2 ? 0 : 255; };
  EXPECT_EQ(picture.alpha, Plane(kFixtureWidth, kFixtureHeight, alpha, 0));
}

int PaletteColor(int index, int c) {
  return std::array<int, 3>{index, 255 - index, 7 * index % 256}[static_cast<size_t>(c)];
}

TEST(DecodeTest, PngPaletteBecomesRgb) {
  AD_ASSERT_OK_AND_ASSIGN(const Picture picture, DecodePicture(Fixture("palette.png"), {}));
  EXPECT_EQ(picture.image, FromFormula(kFixtureWidth, kFixtureHeight, 3, [](int x, int y, int c) {
              return PaletteColor(Sample(x, y, 0), c);
            }));
  EXPECT_TRUE(picture.alpha.empty());
}

TEST(DecodeTest, PngTransparentPaletteBecomesRgba) {
  AD_ASSERT_OK_AND_ASSIGN(const Picture picture,
                          DecodePicture(Fixture("palette_transparent.png"), {}));
  EXPECT_EQ(picture.image, FromFormula(kFixtureWidth, kFixtureHeight, 3, [](int x, int y, int c) {
              return PaletteColor(Sample(x, y, 0), c);
            }));
  const auto alpha = [](int x, int y, int) {
    const int index = Sample(x, y, 0);
    return index < 200 ? index : 255;
  };
  EXPECT_EQ(picture.alpha, Plane(kFixtureWidth, kFixtureHeight, alpha, 0));
}

TEST(DecodeTest, PngInterlaced) {
  AD_ASSERT_OK_AND_ASSIGN(const Picture picture, DecodePicture(Fixture("interlaced.png"), {}));
  EXPECT_EQ(picture.image, Expected(3));
}

TEST(DecodeTest, PngTransparentColorBecomesAlpha) {
  AD_ASSERT_OK_AND_ASSIGN(const Picture picture, DecodePicture(Fixture("rgb_transparent.png"), {}));
  EXPECT_EQ(picture.image, Expected(3));
  const auto alpha = [](int x, int y, int) {
    for (int c = 0; c < 3; ++c) {
      if (Sample(x, y, c) != Sample(5, 7, c)) return 255;
    }
    return 0;
  };
  EXPECT_EQ(picture.alpha, Plane(kFixtureWidth, kFixtureHeight, alpha, 0));
  EXPECT_EQ(picture.alpha[7 * kFixtureWidth + 5], 0);
}

TEST(DecodeTest, JpegIsTurnedUprightAndKeepsItsProfile) {
  AD_ASSERT_OK_AND_ASSIGN(const Picture picture, DecodePicture(Fixture("rgb.jpg"), {}));
  EXPECT_EQ(picture.format, ImageFormat::kJpeg);
  AD_ASSERT_OK_AND_ASSIGN(const int difference,
                          MaxDifference(picture.image, TurnedClockwise(Smooth)));
  EXPECT_LE(difference, 6);
  EXPECT_EQ(picture.metadata.icc, Fixture("srgb.icc"));
  EXPECT_FALSE(picture.metadata.exif.empty());
}

TEST(DecodeTest, JpegGrayStaysGray) {
  AD_ASSERT_OK_AND_ASSIGN(const Picture picture, DecodePicture(Fixture("gray.jpg"), {}));
  AD_ASSERT_OK_AND_ASSIGN(
      const int difference,
      MaxDifference(picture.image, FromFormula(kFixtureWidth, kFixtureHeight, 1, Smooth)));
  EXPECT_LE(difference, 2);
}

TEST(DecodeTest, JpegProgressive) {
  AD_ASSERT_OK_AND_ASSIGN(const Picture picture, DecodePicture(Fixture("progressive.jpg"), {}));
  AD_ASSERT_OK_AND_ASSIGN(
      const int difference,
      MaxDifference(picture.image, FromFormula(kFixtureWidth, kFixtureHeight, 3, Smooth)));
  EXPECT_LE(difference, 6);
}

TEST(DecodeTest, WebpLosslessIsTurnedUprightAndKeepsItsProfile) {
  AD_ASSERT_OK_AND_ASSIGN(const Picture picture, DecodePicture(Fixture("lossless.webp"), {}));
  EXPECT_EQ(picture.format, ImageFormat::kWebp);
  EXPECT_EQ(picture.image, TurnedClockwise(Sample));
  EXPECT_TRUE(picture.alpha.empty());
  EXPECT_EQ(picture.metadata.icc, Fixture("srgb.icc"));
  EXPECT_FALSE(picture.metadata.exif.empty());
}

TEST(DecodeTest, WebpLosslessWithAlpha) {
  AD_ASSERT_OK_AND_ASSIGN(const Picture picture, DecodePicture(Fixture("lossless_alpha.webp"), {}));
  EXPECT_EQ(picture.image, Expected(3));
  EXPECT_EQ(picture.alpha, Plane(kFixtureWidth, kFixtureHeight, Sample, 3));
}

TEST(DecodeTest, WebpLossy) {
  for (const char* name : {"lossy.webp", "lossy_alpha.webp"}) {
    SCOPED_TRACE(name);
    AD_ASSERT_OK_AND_ASSIGN(const Picture picture, DecodePicture(Fixture(name), {}));
    AD_ASSERT_OK_AND_ASSIGN(
        const int difference,
        MaxDifference(picture.image, FromFormula(kFixtureWidth, kFixtureHeight, 3, Smooth)));
    EXPECT_LE(difference, 8);
  }
  AD_ASSERT_OK_AND_ASSIGN(const Picture picture, DecodePicture(Fixture("lossy_alpha.webp"), {}));
  EXPECT_EQ(picture.alpha, Plane(kFixtureWidth, kFixtureHeight, Smooth, 3));
}

}  // namespace
}  // namespace antidiffusion
