// Files cut short, damaged or lengthened: always a status or a picture within the limits, never a
// crash (run under AddressSanitizer, too), and never a picture with a part missing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <new>
#include <opencv2/core.hpp>
#include <random>
#include <stdexcept>
#include <string>

#include "core/image/catch_exceptions.h"
#include "core/image/codec.h"
#include "core/image/formats.h"
#include "tests/core/image/chunks.h"
#include "tests/core/image/fixtures.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/synthetic_image.h"

namespace antidiffusion {
namespace {

constexpr const char* kGood[] = {"rgb.png",
                                 "rgba.png",
                                 "gray.png",
                                 "gray_alpha.png",
                                 "gray1.png",
                                 "palette.png",
                                 "interlaced.png",
                                 "rgb_transparent.png",
                                 "rgb.jpg",
                                 "progressive.jpg",
                                 "gray.jpg",
                                 "lossless.webp",
                                 "lossless_alpha.webp",
                                 "lossy.webp",
                                 "lossy_alpha.webp"};

class UntrustedTest : public testing::TestWithParam<const char*> {
 protected:
  const std::string bytes_ = Fixture(GetParam());
};
INSTANTIATE_TEST_SUITE_P(Files, UntrustedTest, testing::ValuesIn(kGood));

TEST_P(UntrustedTest, IsRefusedWhereverItIsCutOff) {
  // Every length of a small file, some three hundred of a large one.
  const size_t step = std::max<size_t>(1, bytes_.size() / 300);
  for (size_t length = 0; length < bytes_.size(); length += step) {
    EXPECT_THAT(DecodePicture(bytes_.substr(0, length), {}), ViolatesField("image"))
        << "cut to " << length << " of " << bytes_.size();
  }
  EXPECT_THAT(DecodePicture(bytes_.substr(0, bytes_.size() - 1), {}), ViolatesField("image"));
}

TEST_P(UntrustedTest, IgnoresWhatFollowsTheImage) {
  AD_ASSERT_OK_AND_ASSIGN(const Picture picture, DecodePicture(bytes_, {}));
  for (const std::string& tail : {std::string("tail"), std::string(5000, '\xff'), bytes_}) {
    AD_ASSERT_OK_AND_ASSIGN(const Picture with_tail, DecodePicture(bytes_ + tail, {}));
    EXPECT_EQ(with_tail.image, picture.image);
    EXPECT_EQ(with_tail.metadata.icc, picture.metadata.icc);
  }
}

TEST_P(UntrustedTest, DamageEndsInAStatusOrAPicture) {
  DecodeLimits limits;
  limits.max_pixels = 1 << 20;
  std::mt19937 random(1);
  for (int i = 0; i < 400; ++i) {
    std::string damaged = bytes_;
    const int changes = 1 + static_cast<int>(random() % 3);
    for (int k = 0; k < changes; ++k) {
      damaged[random() % damaged.size()] = static_cast<char>(random() % 256);
    }
    const absl::StatusOr<Picture> picture = DecodePicture(damaged, limits);
    if (picture.ok()) {
      EXPECT_LE(picture->image.pixels.size(), size_t{3} << 20);
      EXPECT_EQ(picture->image.pixels.size(), picture->image.size());
    } else {
      EXPECT_THAT(picture, ViolatesField("image"));
    }
  }
}

TEST_P(UntrustedTest, MissingOrInsertedBytesEndInAStatusOrAPicture) {
  std::mt19937 random(2);
  for (int i = 0; i < 200; ++i) {
    std::string damaged = bytes_;
    const size_t at = random() % damaged.size();
    if (i % 2 == 0) {
      damaged.erase(at, 1 + random() % 20);
    } else {
      damaged.insert(at, std::string(1 + random() % 20, static_cast<char>(random())));
    }
    const absl::StatusOr<Picture> picture = DecodePicture(damaged, {});
    if (!picture.ok()) {
      EXPECT_THAT(picture, ViolatesField("image"));
    }
  }
}

std::string LargeJpeg() {
  Picture picture;
  picture.image = SyntheticImage(300, 200);
  return *EncodePicture(picture, {ImageFormat::kJpeg, 90});
}

TEST(UntrustedJpegTest, HalfOfThePixelsWithAnEndMarkerIsRefused) {
  const std::string jpeg = LargeJpeg();
  const size_t scan = jpeg.find("\xff\xda");
  for (const int percent : {0, 10, 50, 90, 99}) {
    const size_t keep = (jpeg.size() - scan) * static_cast<size_t>(percent) / 100;
    const std::string cut = jpeg.substr(0, scan + 14 + keep) + "\xff\xd9";
    if (cut.size() >= jpeg.size()) continue;
    EXPECT_THAT(DecodePicture(cut, {}), ViolatesField("image")) << percent;
  }
}

TEST(UntrustedJpegTest, TooManyScansAreRefused) {
  const std::string jpeg = Fixture("progressive.jpg");
  const size_t scan = jpeg.find("\xff\xda");
  const size_t next = jpeg.find("\xff\xc4", scan);
  ASSERT_NE(next, std::string::npos);
  std::string many = jpeg.substr(0, scan);
  for (int i = 0; i < 101; ++i) many += jpeg.substr(scan, next - scan);
  EXPECT_THAT(DecodePicture(many + jpeg.substr(next), {}),
              StatusIs(absl::StatusCode::kInvalidArgument, "100 scans"));
}

TEST(UntrustedPngTest, AProfileThatUnpacksWithoutEndIsLeftOut) {
  // 40 MB of zeros in 40 kB; a profile of the same kind of a size within reason is kept.
  for (const bool bomb : {false, true}) {
    std::string icc = IccProfile(bomb ? size_t{40} << 20 : size_t{4} << 20, "RGB ");
    std::fill(icc.begin() + 132, icc.end(), '\0');
    const std::string png = WithPngChunks(
        Fixture("rgba.png"), PngChunk("iCCP", std::string("name\0\0", 6) + Compressed(icc)));
    AD_ASSERT_OK_AND_ASSIGN(const Picture decoded, DecodePicture(png, {}));
    EXPECT_EQ(decoded.metadata.icc.empty(), bomb);
    EXPECT_EQ(decoded.image, FromFormula(kFixtureWidth, kFixtureHeight, 3, Sample));
  }
}

TEST(UntrustedPngTest, ManyProfilesAreNotUnpacked) {
  // 4 MB of zeros in 4 kB each, 8 GB together.
  std::string icc = IccProfile(size_t{4} << 20, "RGB ");
  std::fill(icc.begin() + 132, icc.end(), '\0');
  const std::string chunk = PngChunk("iCCP", std::string("name\0\0", 6) + Compressed(icc));
  std::string chunks;
  for (int i = 0; i < 2000; ++i) chunks += chunk;
  AD_ASSERT_OK_AND_ASSIGN(const Picture decoded,
                          DecodePicture(WithPngChunks(Fixture("rgba.png"), chunks), {}));
  EXPECT_EQ(decoded.metadata.icc, "");
}

TEST(UntrustedPngTest, ChunksWithoutPixelsChangeNone) {
  // Bombs of 8 MB each, and chunks of colour that a decoder could apply.
  const std::string bomb = Compressed(std::string(size_t{8} << 20, 'x'));
  std::string ancillary = PngChunk("gAMA", std::string("\0\0\xb1\x8f", 4)) +
                          PngChunk("iCCP", std::string("name\0\0", 6) + bomb);
  for (int i = 0; i < 60; ++i) {
    ancillary +=
        PngChunk(i % 2 == 0 ? "zTXt" : "iTXt",
                 (i % 2 == 0 ? std::string("t\0\0", 3) : std::string("t\0\1\0\0\0", 6)) + bomb);
  }
  ancillary += PngChunk("priv", std::string(size_t{5} << 20, 'x'));  // over the limit for profiles
  for (const char* name : {"gray.png", "palette_transparent.png", "gray2_transparent.png"}) {
    const std::string plain = Fixture(name);
    AD_ASSERT_OK_AND_ASSIGN(const Picture decoded,
                            DecodePicture(WithPngChunks(plain, ancillary), {}));
    AD_ASSERT_OK_AND_ASSIGN(const Picture expected, DecodePicture(plain, {}));
    EXPECT_EQ(decoded.image, expected.image);
    EXPECT_EQ(decoded.alpha, expected.alpha);
    EXPECT_EQ(decoded.metadata.icc, "");
  }
}

TEST(UntrustedPngTest, DamagedPixelsAreRefusedAndDamagedMetadataLeftOut) {
  std::string png = WithPngChunks(Fixture("gray.png"), PngChunk("eXIf", ExifBlock(6)));
  std::string broken = png;
  ++broken[broken.find("eXIf") + 10];
  AD_ASSERT_OK_AND_ASSIGN(const Picture picture, DecodePicture(broken, {}));
  EXPECT_EQ(picture.metadata.exif, "");
  EXPECT_EQ(picture.image.width, kFixtureWidth)
      << "turned by an orientation that is not to be trusted";
  broken = png;
  ++broken[broken.find("IDAT") + 10];
  EXPECT_THAT(DecodePicture(broken, {}), ViolatesField("image"));
}

TEST(UntrustedPngTest, UnknownCriticalChunksAreRefused) {
  const std::string png = WithPngChunks(Fixture("rgb.png"), PngChunk("ABCD", "x"));
  EXPECT_THAT(DecodePicture(png, {}), ViolatesField("image"));
}

TEST(UntrustedPngTest, OfSeveralProfilesNoneIsTakenAndOfSeveralTextsTheFirst) {
  const std::string head("name\0\0", 6);
  const std::string good = PngChunk("iCCP", head + Compressed(IccProfile(400, "GRAY")));
  const std::string bad =
      PngChunk("iCCP", head + Compressed(IccProfile(400, "GRAY")).substr(0, 200));
  const std::string png = Fixture("gray.png");
  const std::string exif("Exif\0\0", 6);
  std::string digits;
  for (const char byte : exif + ExifBlock(1)) {
    constexpr char kDigits[] = "0123456789abcdef";
    digits += {kDigits[(byte >> 4) & 15], kDigits[byte & 15]};
  }
  const std::string name("Raw profile type exif\0", 22);
  const std::string good_text = PngChunk(
      "tEXt", name + "\nexif\n" + std::to_string(digits.size() / 2) + "\n" + digits + "\n");
  const std::string bad_text = PngChunk("tEXt", name + "\nexif\nmany\n");
  const std::string other_text = PngChunk("tEXt", std::string("Comment\0hello", 13));

  const auto decode = [&png](const std::string& chunks) {
    return DecodePicture(WithPngChunks(png, chunks), {});
  };
  AD_ASSERT_OK_AND_ASSIGN(const Picture first, decode(good + other_text + good_text + bad_text));
  EXPECT_EQ(first.metadata.icc, IccProfile(400, "GRAY"));
  EXPECT_EQ(first.metadata.exif, ExifBlock(1));
  AD_ASSERT_OK_AND_ASSIGN(const Picture second, decode(bad + good + bad_text + good_text));
  EXPECT_EQ(second.metadata.icc, "");
  EXPECT_EQ(second.metadata.exif, "");
  AD_ASSERT_OK_AND_ASSIGN(const Picture twice, decode(good + good));
  EXPECT_EQ(twice.metadata.icc, "");
}

TEST(CatchExceptionsTest, NoMemoryIsAStatus) {
  const auto run = [](const std::function<absl::StatusOr<int>()>& body) {
    return CatchExceptions(absl::StatusCode::kInternal, body);
  };
  EXPECT_THAT(run([]() -> absl::StatusOr<int> { throw std::bad_alloc(); }),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(run([]() -> absl::StatusOr<int> {
                throw cv::Exception(cv::Error::StsNoMem, "no memory", "f", "file", 1);
              }),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(run([]() -> absl::StatusOr<int> { throw std::length_error("too long"); }),
              StatusIs(absl::StatusCode::kInternal));
  EXPECT_EQ(run([] { return 3; }).value(), 3);
}

TEST(UntrustedWebpTest, ACanvasThatIsNotTheFramesIsRefused) {
  std::string webp = Fixture("lossless.webp");
  webp[24] = 79;  // the canvas's width - 1
  EXPECT_THAT(DecodePicture(webp, {}), ViolatesField("image"));
}

}  // namespace
}  // namespace antidiffusion
