#include "server/engine/wire.h"

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

TEST(WireTest, OptionsKeepWhatIsSetAndWhatIsNot) {
  ProtectionOptions options;
  options.method = Method::kMist;
  options.mode = Mode::kReleased;
  options.effort = Effort::kDraft;
  options.budget_levels = 4.5;
  options.seed = uint64_t{1} << 63;
  options.prompt = "a photo";
  options.report = ReportLevel::kFull;
  options.pgd_steps = 0;
  options.tuning_lr = 1e-5;
  options.pgd_draws = 3;
  options.momentum = 0.5;
  options.timestep_min = 10;
  options.timestep_max = 900;
  options.jpeg_quality = 75;
  options.semantic = {.form = SemanticForm::kStartToken,
                      .layers = SemanticLayers::kAll,
                      .heads = SemanticHeads::kEach,
                      .weight = 12.5};
  const ProtectionOptions read = FromWire(ToWire(options));
  EXPECT_EQ(read.method, Method::kMist);
  EXPECT_EQ(read.mode, Mode::kReleased);
  EXPECT_EQ(read.effort, Effort::kDraft);
  EXPECT_EQ(read.budget_levels, 4.5);
  EXPECT_EQ(read.seed, uint64_t{1} << 63);
  EXPECT_EQ(read.prompt, "a photo");
  EXPECT_EQ(read.report, ReportLevel::kFull);
  EXPECT_EQ(read.pgd_steps, 0);
  EXPECT_EQ(read.tuning_lr, 1e-5);
  EXPECT_EQ(read.pgd_draws, 3);
  EXPECT_EQ(read.momentum, 0.5);
  EXPECT_EQ(read.timestep_min, 10);
  EXPECT_EQ(read.timestep_max, 900);
  EXPECT_EQ(read.jpeg_quality, 75);
  EXPECT_EQ(read.semantic.form, SemanticForm::kStartToken);
  EXPECT_EQ(read.semantic.layers, SemanticLayers::kAll);
  EXPECT_EQ(read.semantic.heads, SemanticHeads::kEach);
  EXPECT_EQ(read.semantic.weight, 12.5);
  EXPECT_EQ(read.epochs, std::nullopt);
  EXPECT_EQ(read.prompt_lr, std::nullopt);
  EXPECT_EQ(FromWire(ToWire(ProtectionOptions())).seed, std::nullopt);
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
