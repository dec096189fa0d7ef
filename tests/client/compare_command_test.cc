#include "client/compare_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "client/exit_codes.h"
#include "core/image/codec.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/synthetic_image.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class CompareCommandTest : public ::testing::Test {
 protected:
  // Writes a picture whose first sample is `first`.
  std::string WritePicture(const std::string& name, int width, uint8_t first) {
    Picture picture;
    picture.image = SyntheticImage(width, 64);
    picture.image.pixels[0] = first;
    const auto bytes = EncodePicture(picture, EncodeOptions());
    EXPECT_THAT(bytes, IsOk());
    return dir_.Write(name, *bytes);
  }

  TempDir dir_;
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(CompareCommandTest, MeasuresAndWritesThePictureBesideTheSecondFile) {
  const CompareSettings settings = {.original = WritePicture("a.png", 96, 100),
                                    .changed = WritePicture("out/a.protected.png", 96, 106)};
  EXPECT_EQ(RunCompare(settings, out_, err_), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), StartsWith("max difference 6 levels, PSNR "));
  EXPECT_THAT(out_.str(), HasSubstr(dir_.File("out/a.comparison.png")));
  const auto picture = DecodePicture(ReadFileBytes(dir_.File("out/a.comparison.png")), {});
  ASSERT_THAT(picture, IsOk());
  EXPECT_GE(picture->image.width, 3 * 96);
}

TEST_F(CompareCommandTest, WritesWhereItIsTold) {
  const CompareSettings settings = {.original = WritePicture("a.png", 96, 100),
                                    .changed = WritePicture("b.png", 96, 100),
                                    .output = dir_.File("deep/c.png")};
  EXPECT_EQ(RunCompare(settings, out_, err_), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), StartsWith("max difference 0 levels, PSNR inf dB, SSIM 1.0000"));
  EXPECT_THAT(DecodePicture(ReadFileBytes(dir_.File("deep/c.png")), {}), IsOk());
}

TEST_F(CompareCommandTest, WhatCannotBeComparedIsTold) {
  const std::string a = WritePicture("a.png", 96, 100);
  EXPECT_EQ(RunCompare({.original = a, .changed = WritePicture("b.png", 80, 100)}, out_, err_),
            kExitFailed);
  EXPECT_THAT(err_.str(), StartsWith("INVALID_ARGUMENT: "));
  err_.str("");
  EXPECT_EQ(RunCompare({.original = a, .changed = dir_.File("none.png")}, out_, err_), kExitFailed);
  EXPECT_THAT(err_.str(), AllOf(StartsWith("NOT_FOUND: "), HasSubstr("none.png")));
  err_.str("");
  EXPECT_EQ(RunCompare({.original = a, .changed = dir_.Write("c.png", "text")}, out_, err_),
            kExitFailed);
  EXPECT_THAT(err_.str(), AllOf(StartsWith("INVALID_ARGUMENT: "), HasSubstr("c.png")));
  EXPECT_EQ(out_.str(), "");
}

}  // namespace
}  // namespace antidiffusion
