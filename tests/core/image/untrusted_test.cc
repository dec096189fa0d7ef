// Files cut short, damaged or lengthened: always a status or a picture within the limits, never a
// crash (run under AddressSanitizer, too), and never a picture with a part missing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "core/image/codec.h"
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

TEST(UntrustedWebpTest, ACanvasThatIsNotTheFramesIsRefused) {
  std::string webp = Fixture("lossless.webp");
  webp[24] = 79;  // the canvas's width - 1
  EXPECT_THAT(DecodePicture(webp, {}), ViolatesField("image"));
}

}  // namespace
}  // namespace antidiffusion
