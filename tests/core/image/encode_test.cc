// What is written is read back: pixels, alpha and metadata, in every format.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/image/codec.h"
#include "core/image/similarity.h"
#include "tests/core/image/fixtures.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/synthetic_image.h"

namespace antidiffusion {
namespace {

Picture MakePicture(int width, int height, int channels, bool alpha) {
  Picture picture;
  picture.image = SyntheticImage(width, height, channels);
  if (alpha) picture.alpha = SyntheticImage(width, height, 1, 99).pixels;
  return picture;
}

TEST(EncodePngTest, IsLosslessForEveryKindOfPicture) {
  for (const int channels : {1, 3}) {
    for (const bool alpha : {false, true}) {
      for (const auto& [width, height] : {std::pair{64, 64}, {65, 127}, {131, 70}}) {
        SCOPED_TRACE(testing::Message() << width << "x" << height << "x" << channels << alpha);
        const Picture picture = MakePicture(width, height, channels, alpha);
        AD_ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodePicture(picture, {}));
        AD_ASSERT_OK_AND_ASSIGN(const Picture decoded, DecodePicture(bytes, {}));
        EXPECT_EQ(decoded.format, ImageFormat::kPng);
        EXPECT_EQ(decoded.image, picture.image);
        EXPECT_EQ(decoded.alpha, picture.alpha);
      }
    }
  }
}

TEST(EncodeJpegTest, IsCloseAndKeepsGray) {
  for (const int channels : {1, 3}) {
    const Picture picture = MakePicture(131, 70, channels, false);
    AD_ASSERT_OK_AND_ASSIGN(const std::string bytes,
                            EncodePicture(picture, {ImageFormat::kJpeg, 95}));
    AD_ASSERT_OK_AND_ASSIGN(const Picture decoded, DecodePicture(bytes, {}));
    EXPECT_EQ(decoded.format, ImageFormat::kJpeg);
    AD_ASSERT_OK_AND_ASSIGN(const double psnr, Psnr(decoded.image, picture.image));
    EXPECT_GT(psnr, 35);
  }
}

TEST(EncodeJpegTest, DoesNotSubsampleColor) {
  // Columns that differ in colour alone: subsampling would mix neighbours.
  Picture picture;
  picture.image =
      FromFormula(64, 64, 3, [](int x, int, int c) { return (x % 2 == 0) == (c == 0) ? 200 : 60; });
  AD_ASSERT_OK_AND_ASSIGN(const std::string bytes,
                          EncodePicture(picture, {ImageFormat::kJpeg, 100}));
  AD_ASSERT_OK_AND_ASSIGN(const Picture decoded, DecodePicture(bytes, {}));
  AD_ASSERT_OK_AND_ASSIGN(const int difference, MaxDifference(decoded.image, picture.image));
  EXPECT_LE(difference, 4);
}

TEST(EncodeJpegTest, LowerQualityIsSmaller) {
  const Picture picture = MakePicture(256, 256, 3, false);
  AD_ASSERT_OK_AND_ASSIGN(const std::string fine, EncodePicture(picture, {ImageFormat::kJpeg, 95}));
  AD_ASSERT_OK_AND_ASSIGN(const std::string coarse,
                          EncodePicture(picture, {ImageFormat::kJpeg, 40}));
  EXPECT_LT(2 * coarse.size(), fine.size());
}

TEST(EncodeWebpTest, IsCloseAndKeepsAlpha) {
  for (const bool alpha : {false, true}) {
    Picture picture = MakePicture(131, 70, 3, alpha);
    picture.image = FromFormula(131, 70, 3, [](int x, int y, int c) { return x + y / 2 + 20 * c; });
    AD_ASSERT_OK_AND_ASSIGN(const std::string bytes,
                            EncodePicture(picture, {ImageFormat::kWebp, 95}));
    AD_ASSERT_OK_AND_ASSIGN(const Picture decoded, DecodePicture(bytes, {}));
    EXPECT_EQ(decoded.format, ImageFormat::kWebp);
    EXPECT_EQ(decoded.alpha, picture.alpha);
    AD_ASSERT_OK_AND_ASSIGN(const double psnr, Psnr(decoded.image, picture.image));
    EXPECT_GT(psnr, 38);
  }
}

TEST(EncodeWebpTest, WritesGrayAsColor) {
  for (const bool alpha : {false, true}) {
    Picture picture = MakePicture(80, 70, 1, alpha);
    picture.metadata.icc = IccProfile(400, "GRAY");
    AD_ASSERT_OK_AND_ASSIGN(const std::string bytes,
                            EncodePicture(picture, {ImageFormat::kWebp, 90}));
    AD_ASSERT_OK_AND_ASSIGN(const Picture decoded, DecodePicture(bytes, {}));
    EXPECT_EQ(decoded.image.channels, 3);
    EXPECT_EQ(decoded.alpha, picture.alpha);
    EXPECT_TRUE(decoded.metadata.icc.empty()) << "a grey profile does not fit RGB samples";
  }
}

TEST(EncodeTest, MetadataComesBackInEveryFormat) {
  // 200 kB: in JPEG a profile of four segments.
  for (const size_t icc_size : {size_t{200}, size_t{3145}, size_t{200'001}}) {
    for (const ImageFormat format : {ImageFormat::kPng, ImageFormat::kJpeg, ImageFormat::kWebp}) {
      for (const bool alpha : {false, true}) {
        if (alpha && format == ImageFormat::kJpeg) continue;
        SCOPED_TRACE(testing::Message() << MimeType(format).data() << " " << icc_size << alpha);
        Picture picture = MakePicture(90, 70, 3, alpha);
        picture.metadata.icc = IccProfile(icc_size, "RGB ");
        picture.metadata.exif = ExifBlock(1);
        AD_ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodePicture(picture, {format, 90}));
        AD_ASSERT_OK_AND_ASSIGN(const Picture decoded, DecodePicture(bytes, {}));
        EXPECT_EQ(decoded.metadata.icc, picture.metadata.icc);
        EXPECT_EQ(decoded.metadata.exif, picture.metadata.exif);
        EXPECT_EQ(decoded.alpha, picture.alpha);
        // A second turn changes nothing more.
        AD_ASSERT_OK_AND_ASSIGN(const std::string again, EncodePicture(picture, {format, 90}));
        EXPECT_EQ(bytes, again);
      }
    }
  }
}

TEST(EncodeTest, GrayProfileStaysWithGraySamples) {
  for (const ImageFormat format : {ImageFormat::kPng, ImageFormat::kJpeg}) {
    Picture picture = MakePicture(70, 70, 1, format == ImageFormat::kPng);
    picture.metadata.icc = IccProfile(400, "GRAY");
    AD_ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodePicture(picture, {format, 90}));
    AD_ASSERT_OK_AND_ASSIGN(const Picture decoded, DecodePicture(bytes, {}));
    EXPECT_EQ(decoded.metadata.icc, picture.metadata.icc);
    EXPECT_EQ(decoded.image.channels, 1);
  }
}

TEST(EncodePngTest, LeavesOutAProfileThatDoesNotFitTheSamples) {
  for (const int channels : {1, 3}) {
    Picture picture = MakePicture(70, 70, channels, false);
    picture.metadata.icc = IccProfile(400, channels == 1 ? "RGB " : "GRAY");
    AD_ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodePicture(picture, {}));
    EXPECT_EQ(bytes.find("iCCP"), std::string::npos);
    AD_ASSERT_OK_AND_ASSIGN(const Picture decoded, DecodePicture(bytes, {}));
    EXPECT_EQ(decoded.image, picture.image);
    EXPECT_EQ(decoded.metadata.icc, "");
  }
}

TEST(EncodeTest, JpegTakesAlphaOnlyWhereNothingIsTransparent) {
  Picture picture = MakePicture(64, 64, 3, true);
  picture.alpha.assign(picture.alpha.size(), 255);
  AD_ASSERT_OK_AND_ASSIGN(const std::string bytes,
                          EncodePicture(picture, {ImageFormat::kJpeg, 90}));
  AD_ASSERT_OK_AND_ASSIGN(const Picture decoded, DecodePicture(bytes, {}));
  EXPECT_TRUE(decoded.alpha.empty());
  picture.alpha.back() = 254;
  EXPECT_THAT(EncodePicture(picture, {ImageFormat::kJpeg, 90}), ViolatesField("output.format"));
}

TEST(EncodeTest, RefusesSidesThatAFormatCannotHold) {
  const Picture picture = MakePicture(16'384, 1, 3, false);
  EXPECT_THAT(EncodePicture(picture, {ImageFormat::kWebp, 90}), ViolatesField("output.format"));
  EXPECT_THAT(EncodePicture(picture, {ImageFormat::kPng, 90}), IsOk());
  EXPECT_THAT(EncodePicture(MakePicture(65'501, 1, 1, false), {ImageFormat::kJpeg, 90}),
              ViolatesField("output.format"));
}

TEST(EncodeTest, RefusesExifThatJpegCannotHold) {
  Picture picture = MakePicture(64, 64, 3, false);
  picture.metadata.exif = std::string(65'528, 'x');
  EXPECT_THAT(EncodePicture(picture, {ImageFormat::kJpeg, 90}), ViolatesField("output.format"));
  picture.metadata.exif.pop_back();
  EXPECT_THAT(EncodePicture(picture, {ImageFormat::kJpeg, 90}), IsOk());
}

TEST(EncodeTest, RefusesABadQuality) {
  for (const int quality : {0, 101, -1}) {
    EXPECT_THAT(EncodePicture(MakePicture(64, 64, 3, false), {ImageFormat::kWebp, quality}),
                ViolatesField("output.quality"));
  }
}

TEST(EncodeTest, RefusesSizesThatDoNotAddUp) {
  Picture picture = MakePicture(64, 64, 3, true);
  picture.alpha.pop_back();
  EXPECT_THAT(EncodePicture(picture, {}), StatusIs(absl::StatusCode::kInvalidArgument));
  picture.alpha.clear();
  picture.image.pixels.pop_back();
  EXPECT_THAT(EncodePicture(picture, {}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(EncodePicture(Picture{}, {}), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(FormatTest, Names) {
  EXPECT_EQ(MimeType(ImageFormat::kPng), "image/png");
  EXPECT_EQ(MimeType(ImageFormat::kJpeg), "image/jpeg");
  EXPECT_EQ(MimeType(ImageFormat::kWebp), "image/webp");
  EXPECT_EQ(FileExtension(ImageFormat::kPng), "png");
  EXPECT_EQ(FileExtension(ImageFormat::kJpeg), "jpg");
  EXPECT_EQ(FileExtension(ImageFormat::kWebp), "webp");
}

}  // namespace
}  // namespace antidiffusion
