// Files cut short, damaged or lengthened: always a status or a picture within the limits, never a
// crash (run under AddressSanitizer, too), and never a picture with a part missing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <zlib.h>

#include <cstdlib>
#include <functional>
#include <new>
#include <opencv2/core.hpp>
#include <random>
#include <stdexcept>
#include <string>

#include "core/image/bytes.h"
#include "core/image/catch_exceptions.h"
#include "core/image/codec.h"
#include "core/image/container.h"
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
    Picture picture;
    picture.image = SyntheticImage(64, 64);
    picture.metadata.icc = IccProfile(bomb ? size_t{40} << 20 : size_t{4} << 20, "RGB ");
    std::fill(picture.metadata.icc.begin() + 128, picture.metadata.icc.end(), '\0');
    AD_ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodePicture(picture, {}));
    AD_ASSERT_OK_AND_ASSIGN(const Picture decoded, DecodePicture(bytes, {}));
    EXPECT_EQ(decoded.metadata.icc.empty(), bomb);
    EXPECT_EQ(decoded.image, picture.image);
  }
}

// A chunk with its length and CRC.
std::string PngChunk(const std::string& type, const std::string& data) {
  std::string chunk;
  AppendBigEndian(chunk, static_cast<uint32_t>(data.size()), 4);
  chunk += type + data;
  const uLong crc = crc32(0, reinterpret_cast<const Bytef*>(chunk.data() + 4),
                          static_cast<uInt>(chunk.size() - 4));
  AppendBigEndian(chunk, static_cast<uint32_t>(crc), 4);
  return chunk;
}

std::string Compressed(const std::string& data) {
  uLongf size = compressBound(data.size());
  std::string out(size, '\0');
  compress2(reinterpret_cast<Bytef*>(out.data()), &size,
            reinterpret_cast<const Bytef*>(data.data()), data.size(), 9);
  out.resize(size);
  return out;
}

constexpr size_t kPngIhdrEnd = 33;

// `png` with `chunks` behind IHDR.
std::string WithPngChunks(const std::string& png, const std::string& chunks) {
  return png.substr(0, kPngIhdrEnd) + chunks + png.substr(kPngIhdrEnd);
}

TEST(UntrustedPngTest, OnlyPixelsReachTheDecoder) {
  const std::string bomb = Compressed(std::string(size_t{8} << 20, 'x'));
  std::string ancillary = PngChunk("gAMA", std::string("\0\0\xb1\x8f", 4)) +
                          PngChunk("iCCP", std::string("name\0\0", 6) + bomb);
  for (int i = 0; i < 60; ++i) {
    ancillary +=
        PngChunk(i % 2 == 0 ? "zTXt" : "iTXt",
                 (i % 2 == 0 ? std::string("t\0\0", 3) : std::string("t\0\1\0\0\0", 6)) + bomb);
  }
  for (const char* name : {"rgb.png", "palette_transparent.png", "gray2_transparent.png"}) {
    const std::string plain = Fixture(name);
    const std::string full = WithPngChunks(plain, ancillary);
    AD_ASSERT_OK_AND_ASSIGN(const std::string kept, PixelChunks(full));
    AD_ASSERT_OK_AND_ASSIGN(const std::string kept_of_plain, PixelChunks(plain));
    EXPECT_EQ(kept, kept_of_plain);
    EXPECT_LE(kept.size(), plain.size());
    EXPECT_EQ(kept.find("iTXt"), std::string::npos);
    AD_ASSERT_OK_AND_ASSIGN(const Picture decoded, DecodePicture(full, {}));
    AD_ASSERT_OK_AND_ASSIGN(const Picture expected, DecodePicture(plain, {}));
    EXPECT_EQ(decoded.image, expected.image);
    EXPECT_EQ(decoded.alpha, expected.alpha);
  }
}

TEST(UntrustedPngTest, UnknownCriticalChunksAreRefused) {
  const std::string png = WithPngChunks(Fixture("rgb.png"), PngChunk("ABCD", "x"));
  EXPECT_THAT(DecodePicture(png, {}), ViolatesField("image"));
}

TEST(UntrustedPngTest, OfSeveralProfilesAndTextsTheFirstAloneIsTried) {
  const std::string head("name\0\0", 6);
  const std::string good = PngChunk("iCCP", head + Compressed(IccProfile(400, "RGB ")));
  const std::string bad = PngChunk("iCCP", head + "no zlib stream");
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

  AD_ASSERT_OK_AND_ASSIGN(const PngContents first,
                          ReadPng(WithPngChunks(png, good + bad + other_text + good_text)));
  EXPECT_EQ(first.metadata.icc, IccProfile(400, "RGB "));
  EXPECT_EQ(first.metadata.exif, ExifBlock(1));
  AD_ASSERT_OK_AND_ASSIGN(const PngContents second,
                          ReadPng(WithPngChunks(png, bad + good + bad_text + good_text)));
  EXPECT_EQ(second.metadata.icc, "");
  EXPECT_EQ(second.metadata.exif, "");
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
