// What is refused, and in which words, before any pixel is decoded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/image/codec.h"
#include "core/image/formats.h"
#include "tests/core/image/fixtures.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

FieldViolation ViolationOf(const absl::Status& status) {
  return GetFieldViolation(status).value_or(FieldViolation{"none", status.ToString(), ""});
}

void ExpectRefused(const std::string& bytes, const std::string& value, const std::string& limit,
                   const DecodeLimits& limits = {}) {
  for (const absl::Status& status :
       {ReadImageHeader(bytes, limits).status(), DecodePicture(bytes, limits).status()}) {
    const FieldViolation violation = ViolationOf(status);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(violation.field, "image");
    EXPECT_EQ(violation.value, value);
    EXPECT_EQ(violation.limit, limit);
  }
}

// A PNG that tells a size and has next to nothing in it.
std::string PngOfSize(uint32_t width, uint32_t height) {
  std::string size;
  AppendBigEndian(size, width, 4);
  AppendBigEndian(size, height, 4);
  return Fixture("gray.png").replace(16, 8, size);
}

TEST(ReadImageHeaderTest, TellsFormatAndStoredSize) {
  for (const auto& [name, format] : {std::pair{"rgb.png", ImageFormat::kPng},
                                     {"palette.png", ImageFormat::kPng},
                                     {"rgb.jpg", ImageFormat::kJpeg},
                                     {"progressive.jpg", ImageFormat::kJpeg},
                                     {"lossless.webp", ImageFormat::kWebp},
                                     {"lossless_alpha.webp", ImageFormat::kWebp},
                                     {"lossy.webp", ImageFormat::kWebp},
                                     {"lossy_alpha.webp", ImageFormat::kWebp}}) {
    SCOPED_TRACE(name);
    AD_ASSERT_OK_AND_ASSIGN(const ImageHeader header, ReadImageHeader(Fixture(name), {}));
    EXPECT_EQ(header.format, format);
    EXPECT_EQ(header.width, kFixtureWidth);
    EXPECT_EQ(header.height, kFixtureHeight);
  }
}

TEST(ReadImageHeaderTest, RefusesWhatIsNoImage) {
  ExpectRefused("", "no bytes", "PNG, JPEG or WebP");
  ExpectRefused("hello", "an unknown format", "PNG, JPEG or WebP");
  ExpectRefused("GIF89a............................", "an unknown format", "PNG, JPEG or WebP");
  ExpectRefused(std::string(1000, '\0'), "an unknown format", "PNG, JPEG or WebP");
}

TEST(ReadImageHeaderTest, RefusesABombByItsHeader) {
  ExpectRefused(PngOfSize(20'000, 20'000), "20000x20000", "at most 50000000 pixels");
  ExpectRefused(PngOfSize(0x7fffffff, 0x7fffffff), "2147483647x2147483647",
                "at most 50000000 pixels");
  std::string jpeg = Fixture("gray.jpg");
  const size_t frame = jpeg.find("\xff\xc0");
  jpeg.replace(frame + 5, 4, "\xff\xff\xff\xff", 4);
  ExpectRefused(jpeg, "65535x65535", "at most 50000000 pixels");
  std::string webp = Fixture("lossless_alpha.webp");  // VP8L: 14 bits of width - 1 and height - 1
  webp.replace(21, 4, "\xff\xff\xff\x0f", 4);
  ExpectRefused(webp, "16384x16384", "at most 50000000 pixels");
  webp = Fixture("lossless.webp");  // VP8X: 24 bits each, more than an image may have
  webp.replace(24, 6, "\xff\xff\xff\xff\xff\xff", 6);
  ExpectRefused(webp, "a broken WebP", "a valid WebP");
}

TEST(ReadImageHeaderTest, LimitsAreInclusive) {
  const std::string bytes = Fixture("gray.png");
  DecodeLimits limits;
  limits.max_pixels = int64_t{kFixtureWidth} * kFixtureHeight;
  limits.max_bytes = static_cast<int64_t>(bytes.size());
  limits.min_side = kFixtureHeight;
  EXPECT_THAT(DecodePicture(bytes, limits), IsOk());
  --limits.max_pixels;
  ExpectRefused(bytes, "72x64", "at most 4607 pixels", limits);
  ++limits.max_pixels;
  ++limits.min_side;
  ExpectRefused(bytes, "72x64", "sides of at least 65 pixels", limits);
  limits.min_side = 64;
  --limits.max_bytes;
  ExpectRefused(bytes, std::to_string(bytes.size()) + " bytes",
                "at most " + std::to_string(bytes.size() - 1) + " bytes", limits);
}

TEST(ReadImageHeaderTest, RefusesASmallSide) {
  ExpectRefused(PngOfSize(63, 500), "63x500", "sides of at least 64 pixels");
  ExpectRefused(PngOfSize(500, 63), "500x63", "sides of at least 64 pixels");
}

TEST(ReadImageHeaderTest, RefusesImpossibleSizes) {
  ExpectRefused(PngOfSize(0, 64), "a PNG of 0x64", "a valid PNG");
  ExpectRefused(PngOfSize(64, 0x80000000), "a PNG of 64x2147483648", "a valid PNG");
}

TEST(ReadImageHeaderTest, RefusesAnimations) {
  ExpectRefused(Fixture("animated.png"), "an animated PNG", "a single image");
  ExpectRefused(Fixture("animated.webp"), "an animated WebP", "a single image");
}

TEST(ReadImageHeaderTest, RefusesSixteenBits) {
  ExpectRefused(Fixture("rgb16.png"), "16 bits a sample", "at most 8 bits a sample");
}

TEST(ReadImageHeaderTest, RefusesOtherKindsOfJpeg) {
  ExpectRefused(Fixture("cmyk.jpg"), "a CMYK JPEG", "RGB or grey");
  std::string jpeg = Fixture("gray.jpg");
  const size_t frame = jpeg.find("\xff\xc0");
  jpeg[frame + 4] = 12;
  ExpectRefused(jpeg, "12 bits a sample", "8 bits a sample");
  jpeg = Fixture("gray.jpg");
  jpeg[frame + 1] = '\xc3';
  ExpectRefused(jpeg, "a lossless or hierarchical JPEG", "baseline or progressive JPEG");
  jpeg = Fixture("gray.jpg");
  jpeg[frame + 9] = 2;
  ExpectRefused(jpeg, "a JPEG of 2 components", "RGB or grey");
}

TEST(ReadImageHeaderTest, ReadsNoFurtherThanTheHeader) {
  // The pixels may still be on their way.
  EXPECT_THAT(ReadImageHeader(Fixture("gray.png").substr(0, 50), {}), IsOk());
  EXPECT_THAT(ReadImageHeader(Fixture("lossless.webp").substr(0, 40), {}), IsOk());
  const std::string jpeg = Fixture("gray.jpg");
  EXPECT_THAT(ReadImageHeader(jpeg.substr(0, jpeg.find("\xff\xc0") + 30), {}), IsOk());
}

}  // namespace
}  // namespace antidiffusion
