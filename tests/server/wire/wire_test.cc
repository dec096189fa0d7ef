#include "server/wire/wire.h"

#include <gtest/gtest.h>

#include "core/base/status_details.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/synthetic_image.h"

namespace antidiffusion {
namespace {

TEST(WireTest, AStatusKeepsItsPayloads) {
  const absl::Status status =
      WithReason(InvalidField("image", "63x200", "64"), {"A_REASON", {{"stage", "pgd"}}});
  const absl::Status read = FromWire(ToWire(status));
  EXPECT_EQ(read, status);
  EXPECT_EQ(GetErrorReason(read)->metadata.at("stage"), "pgd");
  EXPECT_EQ(GetFieldViolation(read)->field, "image");
}

TEST(WireTest, AFailureIsNeverOk) {
  worker::v1::Failure failure;
  for (const int code : {0, -1, 17}) {
    failure.set_code(code);
    EXPECT_THAT(FromWire(failure), StatusIs(absl::StatusCode::kInternal)) << code;
  }
}

TEST(WireTest, WhatToLoadKeepsItsPaths) {
  const LoadOptions read =
      FromWire(ToWire(LoadOptions{"models/\xff.safetensors", "cuda:1", "bf16", 3, "a/tokenizers"}));
  EXPECT_EQ(read.directory, "models/\xff.safetensors");
  EXPECT_EQ(read.device, "cuda:1");
  EXPECT_EQ(read.precision, "bf16");
  EXPECT_EQ(read.threads, 3);
  EXPECT_EQ(read.tokenizers, "a/tokenizers");
}

TEST(WireTest, AResultKeepsAllButThePixels) {
  ProtectionResult result;
  result.image = SyntheticImage(80, 64, 1);
  result.max_difference = 4;
  result.bound = 6;
  result.seed = 7;
  result.unet_passes = 310;
  result.stage_seconds = {{"pgd", 1.5}, {"prompt_tuning", 0.5}};
  result.full = FullReport{{1, 2, 3}, {4, 5, 6}, {7, 8, 9}, {10, 11, 12}, {13, 14, 15}};
  const ProtectionResult read = FromWire(ToWire(result));
  EXPECT_EQ(read.image.width, 80);
  EXPECT_EQ(read.image.height, 64);
  EXPECT_EQ(read.image.channels, 1);
  EXPECT_TRUE(read.image.pixels.empty());
  EXPECT_EQ(read.max_difference, 4);
  EXPECT_EQ(read.bound, 6);
  EXPECT_EQ(read.seed, 7u);
  EXPECT_EQ(read.unet_passes, 310);
  EXPECT_EQ(read.stage_seconds, result.stage_seconds);
  EXPECT_EQ(read.full->after_blur.gain_left, 15);
  EXPECT_EQ(read.full->before.attention_concentration, 2);
  EXPECT_EQ(FromWire(ToWire(ProtectionResult())).full, std::nullopt);
}

TEST(WireTest, PixelsTravelInPieces) {
  const Image image = SyntheticImage(1000, 400);
  ASSERT_GT(image.size(), kPixelPiece);
  Image read = EmptyImage(ShapeOf(image));
  EXPECT_FALSE(IsComplete(read));
  for (size_t offset = 0; offset < image.size(); offset += kPixelPiece) {
    EXPECT_THAT(AppendPixels(PixelPiece(image, offset), read), IsOk());
  }
  EXPECT_TRUE(IsComplete(read));
  EXPECT_EQ(read, image);
  EXPECT_THAT(AppendPixels("x", read), StatusIs(absl::StatusCode::kInternal));
}

}  // namespace
}  // namespace antidiffusion
