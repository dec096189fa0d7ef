#include "server/planned_work.h"

#include <gtest/gtest.h>

#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

ModelInfo DiffusionModel() {
  ModelInfo model;
  model.name = "alpha";
  model.native_side = 512;
  model.denoises = true;
  model.has_semantic_layers = true;
  return model;
}

ImageHeader Sized(int width, int height) {
  ImageHeader header;
  header.width = width;
  header.height = height;
  return header;
}

int64_t PlannedOfSquare(const ProtectionOptions& options) {
  return PlannedPasses(options, DiffusionModel(), Sized(100, 100));
}

TEST(PlannedWorkTest, CountsUNetAndEncoderPassesOfTheEfforts) {
  ProtectionOptions options;
  options.effort = Effort::kDraft;
  EXPECT_EQ(PlannedOfSquare(options), 10 + 10);
  options.effort = Effort::kStandard;
  EXPECT_EQ(PlannedOfSquare(options), 10 + 30 + 30);
  options.effort = Effort::kStrong;
  EXPECT_EQ(PlannedOfSquare(options), 200 + 80);
  options.effort = Effort::kPublished;
  EXPECT_EQ(PlannedOfSquare(options), 310 + 60);
}

TEST(PlannedWorkTest, DrawsStepsAndModelsMultiply) {
  ProtectionOptions options;
  options.effort = Effort::kDraft;
  options.pgd_draws = 64;
  EXPECT_EQ(PlannedOfSquare(options), 10 * 64 + 10);
  options.also = {"beta", "gamma"};
  EXPECT_EQ(PlannedOfSquare(options), 10 * 64 + 30);
  options = {};
  options.epochs = options.pgd_steps = options.prompt_steps = options.tuning_steps = 1000;
  options.pgd_draws = 64;
  EXPECT_GT(PlannedOfSquare(options), 64'000'000) << "days of any device";
  options = {};
  options.method = Method::kNoise;
  EXPECT_EQ(PlannedOfSquare(options), 1);
}

TEST(PlannedWorkTest, GuidanceTakesTwoPassesADraw) {
  ProtectionOptions options;
  options.effort = Effort::kDraft;
  options.prompt_steps = 0;
  options.objectives = {{Objective::kImageGuidance}};
  EXPECT_EQ(PlannedOfSquare(options), 2 * 10 + 10);
}

TEST(PlannedWorkTest, PixelsCountInSquaresOfTheNativeSide) {
  ProtectionOptions options;
  options.effort = Effort::kDraft;
  const auto planned = [&options](const ModelInfo& model, int width, int height) {
    return PlannedPasses(options, model, Sized(width, height));
  };
  EXPECT_EQ(planned(DiffusionModel(), 8000, 8000), 20) << "it is worked on at the native size";
  EXPECT_EQ(planned(DiffusionModel(), 3000, 1500), 40);
  EXPECT_EQ(planned(DiffusionModel(), 100, 600), 160) << "pieces that overlap";
  ModelInfo encoder;
  encoder.name = "encoder";
  options.method = Method::kPhotoGuard;
  EXPECT_EQ(planned(encoder, 512, 512), 10);
  EXPECT_EQ(planned(encoder, 8000, 8000), 40) << "at 1024 pixels at most";
}

TEST(PlannedWorkTest, ARefusalNamesPlanAndLimit) {
  ProtectionOptions options;
  const auto check = [&options](int64_t limit) {
    return CheckPlannedPasses(options, DiffusionModel(), Sized(100, 100), limit);
  };
  EXPECT_THAT(check(0), IsOk());
  EXPECT_THAT(check(70), IsOk());
  EXPECT_THAT(check(69), ViolatesField("options"));
  EXPECT_THAT(check(69), StatusIs(absl::StatusCode::kInvalidArgument, "70 planned passes"));
  EXPECT_THAT(check(69), StatusIs(absl::StatusCode::kInvalidArgument, "at most 69"));
}

}  // namespace
}  // namespace antidiffusion
