#include "core/api/protector.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/image/similarity.h"
#include "tests/testing/golden.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/synthetic_image.h"

namespace antidiffusion {
namespace {

ProtectionOptions ShortOptions() {
  ProtectionOptions options;
  options.epochs = 1;
  options.prompt_steps = 1;
  options.pgd_steps = 3;
  options.tuning_steps = 1;
  return options;
}

class ProtectorTest : public testing::Test {
 protected:
  std::unique_ptr<Protector> Load(const std::string& precision) {
    LoadOptions options;
    options.directory = GoldenPath("models/sd2-v-like") + "/";
    options.device = "cpu";
    options.precision = precision;
    options.threads = 1;
    auto loaded = LoadProtector(options, models_);
    if (!loaded.ok()) throw std::runtime_error(loaded.status().ToString());
    return *std::move(loaded);
  }

  LoadedModels models_;
  std::unique_ptr<Protector> protector_ = Load("fp32");
};

TEST_F(ProtectorTest, TellsAboutItsModel) {
  const ModelInfo& info = protector_->model();
  EXPECT_EQ(info.name, "sd2-v-like");
  EXPECT_EQ(info.family, "sd2");
  EXPECT_EQ(info.prediction_type, "v_prediction");
  EXPECT_EQ(info.native_side, 96);
  EXPECT_EQ(info.digest.size(), 64U);
  EXPECT_EQ(info.device, "cpu");
  EXPECT_EQ(info.precision, "fp32");
  EXPECT_EQ(info.latent_channels, 4);
  EXPECT_TRUE(info.denoises);
  EXPECT_TRUE(info.has_semantic_layers);
  EXPECT_FALSE(info.guides_by_image);
  EXPECT_EQ(protector_->memory().total, 0);
}

TEST_F(ProtectorTest, KeepsShapeAndBudgetAtEverySize) {
  struct Size {
    int width, height, channels;
  };
  for (const Size& size :
       {Size{96, 96, 3}, Size{200, 131, 3}, Size{64, 90, 1}, Size{70, 490, 3}, Size{97, 96, 1}}) {
    const Image image = SyntheticImage(size.width, size.height, size.channels);
    AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult result,
                            protector_->Protect(image, ShortOptions(), {}));
    EXPECT_EQ(result.image.width, size.width);
    EXPECT_EQ(result.image.height, size.height);
    EXPECT_EQ(result.image.channels, size.channels);
    ASSERT_EQ(result.image.pixels.size(), image.pixels.size());
    EXPECT_EQ(result.bound, 6);
    EXPECT_EQ(result.max_difference, MaxDifference(image, result.image).value());
    EXPECT_LE(result.max_difference, 6);
    EXPECT_GE(result.max_difference, 2);
    EXPECT_FALSE(result.full.has_value());
  }
}

TEST_F(ProtectorTest, SemanticOptionsSteerThePixels) {
  const Image image = SyntheticImage(96, 96);
  const auto pixels = [&](const ProtectionOptions& options) {
    return protector_->Protect(image, options, {}).value().image.pixels;
  };
  ProtectionOptions without = ShortOptions();
  without.method = Method::kAntiDiffusionNoSdl;
  std::vector<std::vector<uint8_t>> found = {pixels(without)};
  ProtectionOptions heavy = ShortOptions();
  heavy.objectives = {{Objective::kDenoising}, {Objective::kSemantic, 1000}};
  found.push_back(pixels(heavy));
  heavy.experimental.semantic_layers = SemanticLayers::kAll;
  found.push_back(pixels(heavy));
  heavy.experimental.semantic_heads = SemanticHeads::kEach;
  found.push_back(pixels(heavy));
  std::sort(found.begin(), found.end());
  EXPECT_EQ(std::unique(found.begin(), found.end()), found.end());
}

TEST_F(ProtectorTest, EqualInputsGiveEqualBytes) {
  const Image image = SyntheticImage(120, 100);
  const ProtectionOptions options = ShortOptions();
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult first, protector_->Protect(image, options, {}));
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult second, protector_->Protect(image, options, {}));
  EXPECT_EQ(first.image, second.image);
  EXPECT_EQ(first.seed, second.seed);
}

TEST_F(ProtectorTest, ComputesInBf16Alike) {
  const std::unique_ptr<Protector> bf16 = Load("bf16");
  EXPECT_EQ(bf16->model().precision, "bf16");
  const Image image = SyntheticImage(96, 96);
  ProtectionOptions options = ShortOptions();
  options.report = ReportLevel::kFull;
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult half, bf16->Protect(image, options, {}));
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult full, protector_->Protect(image, options, {}));
  EXPECT_LE(half.max_difference, half.bound);
  const auto gain = [](const ProtectionResult& result) {
    return result.full->after.denoising_loss - result.full->before.denoising_loss;
  };
  EXPECT_GT(gain(half), 0.7 * gain(full));
  EXPECT_NE(half.image, full.image);  // else bf16 was not used
}

TEST_F(ProtectorTest, SeedDecidesAndIsTold) {
  const Image image = SyntheticImage(96, 96);
  ProtectionOptions options = ShortOptions();
  options.seed = 0;
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult zero, protector_->Protect(image, options, {}));
  EXPECT_EQ(zero.seed, 0U);
  options.seed = 1;
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult one, protector_->Protect(image, options, {}));
  EXPECT_NE(one.image, zero.image);
  options.seed.reset();
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult own, protector_->Protect(image, options, {}));
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult other,
                          protector_->Protect(SyntheticImage(96, 96, 3, /*seed=*/1), options, {}));
  EXPECT_NE(own.seed, other.seed);
}

TEST_F(ProtectorTest, RefusesBadInputs) {
  const Image image = SyntheticImage(96, 96);
  EXPECT_THAT(protector_->Protect(SyntheticImage(63, 96), {}, {}), ViolatesField("image"));
  Image two = image;
  two.channels = 2;
  EXPECT_THAT(protector_->Protect(two, {}, {}), ViolatesField("image"));
  Image torn = image;
  torn.pixels.pop_back();
  EXPECT_THAT(protector_->Protect(torn, {}, {}), ViolatesField("image"));
  ProtectionOptions options;
  options.budget_levels = 0;
  EXPECT_THAT(protector_->Protect(image, options, {}), ViolatesField("options.budget_levels"));
}

TEST_F(ProtectorTest, IsUsableAgainAfterCancel) {
  const Image image = SyntheticImage(96, 96);
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult before,
                          protector_->Protect(image, ShortOptions(), {}));
  for (const std::string stage : {"prompt_tuning", "pgd", "surrogate_tuning"}) {
    std::stop_source stop;
    RunContext run;
    run.stop = stop.get_token();
    run.on_progress = [&](const Progress& progress) {
      if (progress.stage == stage) stop.request_stop();
    };
    EXPECT_THAT(protector_->Protect(image, ShortOptions(), run),
                StatusIs(absl::StatusCode::kCancelled))
        << stage;
  }
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult after,
                          protector_->Protect(image, ShortOptions(), {}));
  EXPECT_EQ(after.image, before.image);
}

TEST_F(ProtectorTest, ProgressEndsAtTheTotal) {
  std::vector<Progress> seen;
  RunContext run;
  run.on_progress = [&](const Progress& progress) { seen.push_back(progress); };
  ProtectionOptions options = ShortOptions();
  options.report = ReportLevel::kFull;
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult result,
                          protector_->Protect(SyntheticImage(70, 490), options, run));
  // Two pieces, each PT 1, PGD 3, TUNE 1, PGD 3; then the report.
  ASSERT_EQ(seen.size(), 2U * 8 + 5);
  EXPECT_EQ(seen.front().stage, "prompt_tuning");
  EXPECT_EQ(seen.back().stage, "report");
  EXPECT_EQ(seen.back().step, 16);
  EXPECT_EQ(seen.back().total, 16);
  EXPECT_DOUBLE_EQ(seen.back().fraction, 1);
  EXPECT_EQ(result.stage_seconds.size(), 4U);
  EXPECT_EQ(result.unet_passes, 16) << "the report's probes are not counted";
}

TEST_F(ProtectorTest, UnetPassesAreThoseOfMethodAndDraws) {
  const auto passes = [this](Method method, int draws) {
    ProtectionOptions options = ShortOptions();
    options.method = method;
    options.pgd_draws = draws;
    const auto result = protector_->Protect(SyntheticImage(96, 96), options, {});
    return result.ok() ? result->unet_passes : -1;
  };
  EXPECT_EQ(passes(Method::kAntiDiffusion, 1), 8);
  EXPECT_EQ(passes(Method::kAntiDiffusion, 3), 20);
  EXPECT_EQ(passes(Method::kAdvDm, 1), 6);
  EXPECT_EQ(passes(Method::kAntiDreamBooth, 1), 7);
  EXPECT_EQ(passes(Method::kPhotoGuard, 4), 0);
  EXPECT_EQ(passes(Method::kNoise, 1), 0);
}

TEST_F(ProtectorTest, NoiseFillsTheBudget) {
  ProtectionOptions options;
  options.method = Method::kNoise;
  const Image image = SyntheticImage(96, 96);
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult result, protector_->Protect(image, options, {}));
  EXPECT_EQ(result.max_difference, 6);
}

TEST_F(ProtectorTest, ReleasedTellsItsTrueBound) {
  ProtectionOptions options = ShortOptions();
  options.mode = Mode::kReleased;
  options.budget_levels = 2.55;
  options.step_size_levels = 1.5;
  const Image image = SyntheticImage(96, 96);
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult result, protector_->Protect(image, options, {}));
  EXPECT_EQ(result.bound, 5);  // two phases of 2.55, less than six steps of 1.5
  EXPECT_LE(result.max_difference, 5);
  EXPECT_GT(result.max_difference, 2);
}

TEST_F(ProtectorTest, FullReportMeasuresGainAndWhatIsLeftOfIt) {
  ProtectionOptions options = ShortOptions();
  options.pgd_steps = 10;
  options.report = ReportLevel::kFull;
  const Image image = SyntheticImage(96, 96);
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult result, protector_->Protect(image, options, {}));
  ASSERT_TRUE(result.full.has_value());
  const FullReport& report = *result.full;
  EXPECT_GT(report.after.denoising_loss, 1.05 * report.before.denoising_loss);
  EXPECT_EQ(report.before.gain_left, 0);
  EXPECT_EQ(report.after.gain_left, 1);
  for (const Probe& probe : {report.before, report.after, report.after_jpeg_q75,
                             report.after_half_and_back, report.after_blur}) {
    EXPECT_GE(probe.attention_concentration, 1.0 / 77);
    EXPECT_LE(probe.attention_concentration, 1);
  }
  const double gain = report.after.denoising_loss - report.before.denoising_loss;
  EXPECT_NEAR(report.after_blur.gain_left,
              (report.after_blur.denoising_loss - report.before.denoising_loss) / gain, 1e-9);
  EXPECT_NE(report.after_jpeg_q75.denoising_loss, report.after.denoising_loss);
  EXPECT_NE(report.after_half_and_back.denoising_loss, report.after.denoising_loss);

  // The probes do not depend on the job.
  options.seed = 77;
  options.pgd_steps = 1;
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult other, protector_->Protect(image, options, {}));
  EXPECT_EQ(other.full->before.denoising_loss, report.before.denoising_loss);
}

TEST_F(ProtectorTest, TestsItsDevice) {
  EXPECT_THAT(protector_->SelfTest(), IsOk());
  // And leaves no trace in what comes after it.
  const Image image = SyntheticImage(96, 96);
  AD_ASSERT_OK_AND_ASSIGN(const auto first, protector_->Protect(image, ShortOptions(), {}));
  EXPECT_THAT(protector_->SelfTest(), IsOk());
  AD_ASSERT_OK_AND_ASSIGN(const auto second, protector_->Protect(image, ShortOptions(), {}));
  EXPECT_EQ(first.image, second.image);
}

TEST(LoadProtectorTest, RefusesWhatIsNotThere) {
  LoadedModels models;
  LoadOptions options;
  options.directory = GoldenPath("models/no-such-model");
  options.device = "cpu";
  EXPECT_THAT(LoadProtector(options, models), StatusIs(absl::StatusCode::kNotFound));
  options.directory = GoldenPath("models/sd2-v-like");
  options.device = "tpu";
  EXPECT_THAT(LoadProtector(options, models), StatusIs(absl::StatusCode::kInvalidArgument));
  options.device = "cpu";
  options.precision = "fp8";
  EXPECT_THAT(LoadProtector(options, models), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace antidiffusion
