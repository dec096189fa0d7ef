// Files that careless or unusual writers make, and that everybody else shows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/image/codec.h"
#include "tests/core/image/chunks.h"
#include "tests/core/image/fixtures.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

constexpr uint8_t kExifFlag = 0x08, kAnimationFlag = 0x02;  // of VP8X

// EXIF with orientation 6 and a text of `size` bytes (at least 5).
std::string LongExif(size_t size) {
  std::string block("II*\0", 4);
  Append32(block, 8);
  Append16(block, 2);
  for (const auto& [tag, type, count, value] :
       {std::array{0x010e, 2, static_cast<int>(size), 38}, {0x0112, 3, 1, 6}}) {
    Append16(block, tag);
    Append16(block, type);
    Append32(block, count);
    Append32(block, value);
  }
  Append32(block, 0);
  return block + std::string(size - 1, 'x') + '\0';
}

void ExpectTurned(const std::string& bytes, bool keeps_exif) {
  AD_ASSERT_OK_AND_ASSIGN(const Picture picture, DecodePicture(bytes, {}));
  EXPECT_EQ(picture.image.width, kFixtureHeight);
  EXPECT_EQ(picture.image.height, kFixtureWidth);
  EXPECT_EQ(picture.metadata.exif.empty(), !keeps_exif);
}

// The first chunk of a WebP of the simple layout.
std::string FrameOf(const std::string& webp) { return webp.substr(12); }

TEST(PngOdditiesTest, ExifMayBeginWithThePrefixOfJpeg) {
  const std::string exif = std::string("Exif\0\0", 6) + ExifBlock(6);
  ExpectTurned(WithPngChunks(Fixture("gray.png"), PngChunk("eXIf", exif)), true);
}

TEST(PngOdditiesTest, ExifMayFollowThePixels) {
  const std::string png = Fixture("gray.png");
  const size_t iend = png.size() - 12;
  ExpectTurned(png.substr(0, iend) + PngChunk("eXIf", ExifBlock(6)) + png.substr(iend), true);
}

TEST(PngOdditiesTest, ExifTooLargeToKeepStillTurnsThePicture) {
  ExpectTurned(WithPngChunks(Fixture("gray.png"), PngChunk("eXIf", LongExif(60'000))), true);
  ExpectTurned(WithPngChunks(Fixture("gray.png"), PngChunk("eXIf", LongExif(90'000))), false);
}

TEST(PngOdditiesTest, AnAnimationOfTheImageAloneIsAStillPicture) {
  const auto animation = [](uint32_t frames) {
    std::string control, frame;
    AppendBigEndian(control, frames, 4);
    AppendBigEndian(control, 0, 4);
    for (const uint32_t value : {0, kFixtureWidth, kFixtureHeight, 0, 0})
      AppendBigEndian(frame, value, 4);
    frame += std::string("\0\1\0\x0a\0\0", 6);
    return std::pair{PngChunk("acTL", control), PngChunk("fcTL", frame)};
  };
  const std::string png = Fixture("rgba.png");
  const auto [one, frame] = animation(1);
  AD_ASSERT_OK_AND_ASSIGN(const Picture still, DecodePicture(WithPngChunks(png, one + frame), {}));
  EXPECT_EQ(still.image, FromFormula(kFixtureWidth, kFixtureHeight, 3, Sample));
  // Without fcTL before them the pixels are no frame: viewers show another.
  EXPECT_THAT(DecodePicture(WithPngChunks(png, one), {}),
              StatusIs(absl::StatusCode::kInvalidArgument, "an animated PNG"));
  EXPECT_THAT(DecodePicture(WithPngChunks(png, animation(2).first + frame), {}),
              StatusIs(absl::StatusCode::kInvalidArgument, "an animated PNG"));
}

// An animation whose frames are all `frame`, at an offset of 2 * `offset` pixels.
std::string AnimatedWebp(const std::string& frame, int frames, uint8_t offset) {
  std::string head(1, static_cast<char>(offset));
  head += std::string(5, '\0');
  AppendLittleEndian(head, kFixtureWidth - 1, 3);
  AppendLittleEndian(head, kFixtureHeight - 1, 3);
  head += std::string("\x64\0\0\0", 4);
  std::string chunks = WebpChunk("ANIM", std::string(6, '\0'));
  for (int i = 0; i < frames; ++i) chunks += WebpChunk("ANMF", head + frame);
  return WebpFile(kAnimationFlag, kFixtureWidth + 2 * offset, kFixtureHeight, chunks);
}

TEST(WebpOdditiesTest, AnAnimationOfOneWholeFrameIsAStillPicture) {
  const std::string frame = FrameOf(Fixture("lossless_alpha.webp"));
  AD_ASSERT_OK_AND_ASSIGN(const Picture still, DecodePicture(AnimatedWebp(frame, 1, 0), {}));
  EXPECT_EQ(still.image, FromFormula(kFixtureWidth, kFixtureHeight, 3, Sample));
  EXPECT_EQ(still.alpha, Plane(kFixtureWidth, kFixtureHeight, Sample, 3));
  EXPECT_THAT(DecodePicture(AnimatedWebp(frame, 2, 0), {}),
              StatusIs(absl::StatusCode::kInvalidArgument, "an animated WebP"));
  EXPECT_THAT(DecodePicture(AnimatedWebp(frame, 1, 4), {}),
              StatusIs(absl::StatusCode::kInvalidArgument, "does not fill its canvas"));
}

TEST(WebpOdditiesTest, ExifTooLargeToKeepStillTurnsThePicture) {
  const std::string frame = FrameOf(Fixture("lossy.webp"));
  for (const size_t size : {60'000, 90'000}) {
    ExpectTurned(WebpFile(kExifFlag, kFixtureWidth, kFixtureHeight,
                          frame + WebpChunk("EXIF", LongExif(size))),
                 size == 60'000);
  }
}

TEST(WebpOdditiesTest, ThePaddingOfTheLastChunkMayBeMissing) {
  const std::string frame = FrameOf(Fixture("lossy.webp"));
  const std::string exif = LongExif(7);
  ASSERT_EQ(exif.size() % 2, 1U);
  for (const bool padded : {true, false}) {
    ExpectTurned(
        WebpFile(kExifFlag, kFixtureWidth, kFixtureHeight, frame + WebpChunk("EXIF", exif, padded)),
        true);
  }
}

}  // namespace
}  // namespace antidiffusion
