// Orientation, EXIF and ICC; exiv2's own container readers are the second opinion.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <exiv2/exiv2.hpp>
#include <memory>

#include "core/image/codec.h"
#include "core/image/metadata.h"
#include "core/image/samples.h"
#include "tests/core/image/fixtures.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/synthetic_image.h"

namespace antidiffusion {
namespace {

using testing::HasSubstr;
using testing::Not;

// Where a pixel of the upright image lies in the stored one, from the definition of each value:
// "the 0th row is at the visual ..., and the 0th column is the visual ..." (EXIF 2.32, 4.6.4 A).
Image UprightByDefinition(const Image& stored, int orientation) {
  const int w = stored.width, h = stored.height;
  const bool swapped = orientation >= 5;
  Image upright{swapped ? h : w, swapped ? w : h, stored.channels, {}};
  for (int y = 0; y < upright.height; ++y) {
    for (int x = 0; x < upright.width; ++x) {
      int row = 0, column = 0;
      switch (orientation) {
        case 1:
          row = y;
          column = x;
          break;  // top, left
        case 2:
          row = y;
          column = w - 1 - x;
          break;  // top, right
        case 3:
          row = h - 1 - y;
          column = w - 1 - x;
          break;  // bottom, right
        case 4:
          row = h - 1 - y;
          column = x;
          break;  // bottom, left
        case 5:
          row = x;
          column = y;
          break;  // left, top
        case 6:
          row = h - 1 - x;
          column = y;
          break;  // right, top
        case 7:
          row = h - 1 - x;
          column = w - 1 - y;
          break;  // right, bottom
        case 8:
          row = x;
          column = w - 1 - y;
          break;  // left, bottom
      }
      for (int c = 0; c < stored.channels; ++c) {
        upright.pixels.push_back(
            stored.pixels.at((size_t{1} * row * w + column) * stored.channels + c));
      }
    }
  }
  return upright;
}

class OrientationTest : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(All, OrientationTest, testing::Range(1, 9));

TEST_P(OrientationTest, IsAppliedOnceToPixelsAndAlpha) {
  Picture picture;
  picture.image = SyntheticImage(80, 67);
  picture.alpha = SyntheticImage(80, 67, 1, 7).pixels;
  picture.metadata.exif = ExifBlock(GetParam());
  AD_ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodePicture(picture, {}));
  AD_ASSERT_OK_AND_ASSIGN(const Picture decoded, DecodePicture(bytes, {}));
  EXPECT_EQ(decoded.image, UprightByDefinition(picture.image, GetParam()));
  EXPECT_EQ(decoded.alpha, UprightByDefinition(Image{80, 67, 1, picture.alpha}, GetParam()).pixels);
  // What is written then is upright, and is not turned again.
  AD_ASSERT_OK_AND_ASSIGN(const std::string written, EncodePicture(decoded, {}));
  AD_ASSERT_OK_AND_ASSIGN(const Picture again, DecodePicture(written, {}));
  EXPECT_EQ(again.image, decoded.image);
  EXPECT_EQ(again.metadata.exif, decoded.metadata.exif);
  EXPECT_EQ(decoded.metadata.exif, ExifBlock(1));
}

TEST_P(OrientationTest, IsReadFromEveryFormat) {
  for (const ImageFormat format : {ImageFormat::kJpeg, ImageFormat::kWebp}) {
    Picture picture;
    picture.image = SyntheticImage(80, 64, 1);
    AD_ASSERT_OK_AND_ASSIGN(const std::string plain, EncodePicture(picture, {format, 90}));
    AD_ASSERT_OK_AND_ASSIGN(const Picture stored, DecodePicture(plain, {}));
    picture.metadata.exif = ExifBlock(GetParam());
    AD_ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodePicture(picture, {format, 90}));
    AD_ASSERT_OK_AND_ASSIGN(const Picture decoded, DecodePicture(bytes, {}));
    EXPECT_EQ(decoded.image, UprightByDefinition(stored.image, GetParam()));
  }
}

TEST(OrientationValueTest, OutOfRangeIsAsStored) {
  for (const int value : {0, 9, 65535}) {
    EXPECT_EQ(NormalizeExif(ExifBlock(value), 80, 64).orientation, 1);
    Image image = SyntheticImage(8, 6);
    std::vector<uint8_t> alpha;
    ApplyOrientation(value, image, alpha);
    EXPECT_EQ(image, SyntheticImage(8, 6));
  }
}

TEST(NormalizeExifTest, CorrectsTheSidesOfTheTurnedImage) {
  AD_ASSERT_OK_AND_ASSIGN(const Picture picture, DecodePicture(Fixture("rgb.jpg"), {}));
  Exiv2::ExifData exif;
  const std::string& block = picture.metadata.exif;
  Exiv2::ExifParser::decode(exif, reinterpret_cast<const Exiv2::byte*>(block.data()),
                            static_cast<uint32_t>(block.size()));
  EXPECT_EQ(exif["Exif.Image.Orientation"].toLong(), 1);
  EXPECT_EQ(exif["Exif.Image.Make"].toString(), "Maker");
  EXPECT_EQ(exif["Exif.Photo.PixelXDimension"].toLong(), kFixtureHeight);
  EXPECT_EQ(exif["Exif.Photo.PixelYDimension"].toLong(), kFixtureWidth);
  EXPECT_EQ(exif["Exif.Photo.DateTimeOriginal"].toString(), "2024:05:06 07:08:09");
}

TEST(NormalizeExifTest, DropsTheThumbnail) {
  const std::string thumbnail = Fixture("gray.jpg");
  const std::string block = ExifBlock(6, thumbnail);
  ASSERT_THAT(block, HasSubstr(thumbnail));
  const NormalizedExif exif = NormalizeExif(block, 80, 64);
  EXPECT_EQ(exif.orientation, 6);
  EXPECT_EQ(exif.exif, ExifBlock(1));
}

TEST(NormalizeExifTest, DropsAPreviewInAMakerNote) {
  const std::string preview = Fixture("gray.jpg");
  Exiv2::ExifData data;
  data["Exif.Image.Make"] = "Nobody";
  Exiv2::DataValue note(Exiv2::undefined);
  note.read(reinterpret_cast<const Exiv2::byte*>(preview.data()),
            static_cast<long>(preview.size()));
  data.add(Exiv2::ExifKey("Exif.Photo.MakerNote"), &note);
  Exiv2::Blob blob;
  Exiv2::ExifParser::encode(blob, Exiv2::littleEndian, data);
  const std::string block(blob.begin(), blob.end());
  ASSERT_THAT(block, HasSubstr(preview));
  const NormalizedExif exif = NormalizeExif(block, 80, 64);
  EXPECT_THAT(exif.exif, HasSubstr("Nobody"));
  EXPECT_THAT(exif.exif, Not(HasSubstr("\xff\xd8\xff")));
}

TEST(NormalizeExifTest, DropsAPreviewThatIsStoredAsNumbers) {
  std::string preview = Fixture("gray.jpg");
  preview.resize(preview.size() / 2 * 2);
  for (const Exiv2::ByteOrder order : {Exiv2::littleEndian, Exiv2::bigEndian}) {
    Exiv2::ExifData data;
    data["Exif.Image.Make"] = "Nobody";
    Exiv2::UShortValue numbers;
    numbers.read(reinterpret_cast<const Exiv2::byte*>(preview.data()),
                 static_cast<long>(preview.size()), order);
    data.add(Exiv2::ExifKey("Exif.Image.0xc7a0"), &numbers);
    Exiv2::Blob blob;
    Exiv2::ExifParser::encode(blob, order, data);
    const std::string block(blob.begin(), blob.end());
    ASSERT_THAT(block, HasSubstr(preview));
    const NormalizedExif exif = NormalizeExif(block, 80, 64);
    EXPECT_THAT(exif.exif, HasSubstr("Nobody"));
    EXPECT_THAT(exif.exif, Not(HasSubstr("\xff\xd8\xff")));
  }
}

TEST(NormalizeExifTest, ABrokenBlockIsLeftOut) {
  for (const std::string& block :
       {std::string(), std::string("x"), std::string(100, 'x'),
        std::string("II*\0\xff\xff\xff\xff", 8), ExifBlock(6).substr(0, 9)}) {
    const NormalizedExif exif = NormalizeExif(block, 80, 64);
    EXPECT_EQ(exif.exif, "");
    EXPECT_EQ(exif.orientation, 1);
  }
}

// `entries` values of `count` bytes, which all share the same bytes.
std::string OverlappingExif(int entries, int count) {
  std::string block("II*\0", 4);
  Append32(block, 8);
  Append16(block, entries + 1);
  const auto entry = [&](int tag, int type, int value_count, int value) {
    Append16(block, tag);
    Append16(block, type);
    Append32(block, value_count);
    Append32(block, value);
  };
  entry(0x0112, 3, 1, 6);
  for (int i = 0; i < entries; ++i) entry(0xc000 + i, 1, count, 8 + 2 + (entries + 1) * 12 + 4);
  Append32(block, 0);
  return block + std::string(static_cast<size_t>(count), 'x');
}

TEST(NormalizeExifTest, DropsABlockThatJpegCouldNotHold) {
  // Read, the values share 4,000 bytes; written out, each has its own.
  for (const int entries : {10, 100}) {
    const std::string block = OverlappingExif(entries, 4000);
    ASSERT_LT(block.size(), 65'527U);
    const NormalizedExif exif = NormalizeExif(block, 80, 64);
    EXPECT_EQ(exif.exif.empty(), entries == 100) << exif.exif.size();
    EXPECT_EQ(exif.orientation, 6);
  }
  const NormalizedExif large = NormalizeExif(OverlappingExif(1, 65'600), 80, 64);
  EXPECT_EQ(large.exif, "");
  EXPECT_EQ(large.orientation, 6);
}

TEST(NormalizeExifTest, KeepsTheOrientationOfABlockThatExiv2CannotRead) {
  // The second entry's value lies outside, and the directory's end is missing.
  std::string block = ExifBlock(6).substr(0, 8 + 2 + 2 * 12);
  block.replace(8 + 2, 2, "\xff\xff", 2);
  const NormalizedExif exif = NormalizeExif(block, 80, 64);
  EXPECT_EQ(exif.orientation, 6);
  // No byte order, no EXIF.
  block[0] = 'X';
  EXPECT_EQ(NormalizeExif(block, 80, 64).orientation, 1);
}

TEST(UsableIccTest, RefusesWhatIsNoProfileForThePixels) {
  const std::string rgb = IccProfile(400, "RGB "), gray = IccProfile(400, "GRAY");
  EXPECT_EQ(UsableIcc(rgb), rgb);
  EXPECT_EQ(UsableIcc(gray), gray);
  EXPECT_FALSE(IsGrayIcc(rgb));
  EXPECT_TRUE(IsGrayIcc(gray));
  EXPECT_EQ(UsableIcc(IccProfile(400, "CMYK")), "");
  EXPECT_EQ(UsableIcc(rgb.substr(0, 399)), "");
  EXPECT_EQ(UsableIcc(std::string(400, 'x')), "");
  EXPECT_EQ(UsableIcc("short"), "");
  EXPECT_EQ(UsableIcc(""), "");
}

TEST(SecondOpinionTest, Exiv2ReadsWhatIsWritten) {
  for (const ImageFormat format : {ImageFormat::kPng, ImageFormat::kJpeg, ImageFormat::kWebp}) {
    SCOPED_TRACE(MimeType(format).data());
    Picture picture;
    picture.image = SyntheticImage(80, 64);
    picture.metadata = {ExifBlock(1), IccProfile(150'000, "RGB ")};
    AD_ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodePicture(picture, {format, 90}));
    const auto image = Exiv2::ImageFactory::open(reinterpret_cast<const Exiv2::byte*>(bytes.data()),
                                                 static_cast<long>(bytes.size()));
    image->readMetadata();
    EXPECT_EQ(image->mimeType(), std::string(MimeType(format)));
    EXPECT_EQ(image->pixelWidth(), 80);
    EXPECT_EQ(image->pixelHeight(), 64);
    EXPECT_EQ(image->exifData()["Exif.Image.Make"].toString(), "Maker");
    EXPECT_EQ(image->exifData()["Exif.Image.Orientation"].toLong(), 1);
    ASSERT_TRUE(image->iccProfileDefined());
    const Exiv2::DataBuf& icc = *image->iccProfile();
    EXPECT_EQ(
        std::string(reinterpret_cast<const char*>(icc.pData_), static_cast<size_t>(icc.size_)),
        picture.metadata.icc);
  }
}

TEST(SecondOpinionTest, ExifThatExiv2WroteIntoAPngIsRead) {
  Picture picture;
  picture.image = SyntheticImage(80, 64);
  AD_ASSERT_OK_AND_ASSIGN(const std::string plain, EncodePicture(picture, {}));
  const auto file = Exiv2::ImageFactory::open(reinterpret_cast<const Exiv2::byte*>(plain.data()),
                                              static_cast<long>(plain.size()));
  file->readMetadata();
  file->exifData()["Exif.Image.Make"] = "Somebody";
  file->exifData()["Exif.Image.Orientation"] = uint16_t{6};
  file->writeMetadata();
  Exiv2::BasicIo& io = file->io();
  ASSERT_EQ(io.open(), 0);
  const Exiv2::DataBuf written = io.read(static_cast<long>(io.size()));
  const std::string bytes(reinterpret_cast<const char*>(written.pData_),
                          static_cast<size_t>(written.size_));
  ASSERT_THAT(bytes, HasSubstr("Raw profile type exif")) << "exiv2 writes eXIf now";
  AD_ASSERT_OK_AND_ASSIGN(const Picture decoded, DecodePicture(bytes, {}));
  EXPECT_EQ(decoded.image, UprightByDefinition(picture.image, 6));
  EXPECT_THAT(decoded.metadata.exif, HasSubstr("Somebody"));
}

}  // namespace
}  // namespace antidiffusion
