#include "server/job_runner.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "core/image/similarity.h"
#include "server/errors.h"
#include "tests/server/fake_protector.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/synthetic_image.h"

namespace antidiffusion {
namespace {

Picture MakePicture(int channels = 3, bool alpha = false) {
  Picture picture;
  picture.image = SyntheticImage(80, 64, channels);
  if (alpha) {
    for (int i = 0; i < 80 * 64; ++i) picture.alpha.push_back(static_cast<uint8_t>(i));
  }
  return picture;
}

std::string Encoded(const Picture& picture, ImageFormat format = ImageFormat::kPng) {
  return EncodePicture(picture, {format, 90}).value();
}

Picture Decoded(const std::string& bytes) { return DecodePicture(bytes, {}).value(); }

class JobRunnerTest : public ::testing::Test {
 protected:
  absl::StatusOr<JobResult> Run(const std::string& image, OutputFormat output = OutputFormat::kPng,
                                FakeEngine::Orders orders = {}) {
    JobRequest request;
    request.image = image;
    request.model = "alpha";
    request.output = output;
    MakeJob(std::move(request));
    return RunJob(std::move(orders));
  }

  void MakeJob(JobRequest request, absl::Time deadline = absl::InfiniteFuture()) {
    job_ = std::make_unique<Job>(std::move(request), deadline, std::nullopt, clock_);
  }

  absl::StatusOr<JobResult> RunJob(FakeEngine::Orders orders = {}) {
    engine_ = std::make_unique<FakeEngine>(std::move(orders));
    const auto protector = engine_->Load({"models/alpha"}).value();
    return JobRunner({}, clock_, tracer_).Run(*job_, *protector, [this](const Progress& progress) {
      if (stages_.empty() || stages_.back() != progress.stage) stages_.push_back(progress.stage);
      if (on_progress_) on_progress_(progress);
    });
  }

  absl::Time now_ = absl::FromUnixSeconds(1'000'000);
  Job::Clock clock_ = [this] { return now_; };
  std::vector<Span> spans_;
  const Tracer tracer_{0, [this](Span span) { spans_.push_back(std::move(span)); }};
  std::unique_ptr<Job> job_;
  std::unique_ptr<FakeEngine> engine_;
  std::vector<std::string> stages_;
  std::function<void(const Progress&)> on_progress_;
};

TEST_F(JobRunnerTest, PngIsProvenOnItsBytes) {
  const Picture picture = MakePicture();
  AD_ASSERT_OK_AND_ASSIGN(const JobResult result, Run(Encoded(picture)));
  EXPECT_EQ(result.format, ImageFormat::kPng);
  const Picture out = Decoded(result.image);
  EXPECT_EQ(*MaxDifference(picture.image, out.image), 2);
  EXPECT_EQ(result.report.max_difference, 2);
  EXPECT_EQ(result.report.bound, 6);
  EXPECT_EQ(result.report.codec_difference, 0);
  EXPECT_EQ(result.report.codec_note, "");
  EXPECT_NEAR(result.report.psnr, 20 * std::log10(255.0 / 2), 1e-6);
  EXPECT_GT(result.report.ssim, 0.5);
  EXPECT_LT(result.report.ssim, 1);
  EXPECT_EQ(result.seed, 42u);
  EXPECT_EQ(result.model.name, "alpha");
  EXPECT_EQ(stages_, (std::vector<std::string>{"decode", "pgd", "encode", "report"}));
  for (const char* stage : {"decode", "pgd", "encode", "report"}) {
    EXPECT_EQ(result.stage_seconds.count(stage), 1u) << stage;
  }
  EXPECT_FALSE(result.report.full.has_value());
}

TEST_F(JobRunnerTest, WaitAndStagesAreSpansOfTheJobsTrace) {
  JobRequest request;
  request.image = Encoded(MakePicture());
  request.trace = {.trace_id = "0af7651916cd43dd8448eb211c80319c",
                   .parent_id = "b7ad6b7169203331",
                   .span_id = "00f067aa0ba902b7",
                   .sampled = true,
                   .start = now_};
  MakeJob(std::move(request));
  now_ += absl::Seconds(7);
  on_progress_ = [this](const Progress& /*progress*/) { now_ += absl::Seconds(1); };
  AD_ASSERT_OK_AND_ASSIGN(const JobResult result, RunJob());
  std::vector<std::string> names;
  for (const Span& span : spans_) {
    names.push_back(span.facts.name);
    EXPECT_EQ(span.parent_id, "00f067aa0ba902b7");
    EXPECT_EQ(span.facts.error, "");
    EXPECT_LE(span.facts.start, span.facts.end);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"queue", "decode", "pgd", "encode", "report"}));
  EXPECT_EQ(spans_[0].facts.end - spans_[0].facts.start, absl::Seconds(7));
  for (size_t i = 1; i < spans_.size(); ++i) {
    EXPECT_GE(spans_[i].facts.start, spans_[i - 1].facts.end) << names[i];
  }
}

TEST_F(JobRunnerTest, AStageThatFailsSaysSoInItsSpan) {
  JobRequest request;
  const std::string bytes = Encoded(MakePicture());
  request.image = bytes.substr(0, bytes.size() / 2);
  request.trace.trace_id = "1f";
  request.trace.sampled = true;
  MakeJob(std::move(request));
  EXPECT_THAT(RunJob(), ViolatesField("image"));
  ASSERT_EQ(spans_.size(), 2u);
  EXPECT_EQ(spans_[1].facts.name, "decode");
  EXPECT_EQ(spans_[1].facts.error.substr(0, 16), "INVALID_ARGUMENT");
}

TEST_F(JobRunnerTest, NoImageLeavesThatBreaksItsBudget) {
  const auto result =
      Run(Encoded(MakePicture()), OutputFormat::kPng, {.difference = 7, .bound = 6});
  EXPECT_THAT(result, StatusIs(absl::StatusCode::kInternal));
  EXPECT_THAT(result, HasReason(reason::kBudgetNotKept));
  EXPECT_THAT(Run(Encoded(MakePicture()), OutputFormat::kJpeg, {.difference = 7, .bound = 6}),
              HasReason(reason::kBudgetNotKept))
      << "lossy: on the pixels";
}

TEST_F(JobRunnerTest, NoImageLeavesThatIsSeenMoreThanPromised) {
  const std::string image = Encoded(MakePicture());
  const auto refused = Run(image, OutputFormat::kPng, {.difference = 5, .visibility = 1e-3});
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kInternal));
  EXPECT_THAT(refused, HasReason(reason::kVisibilityNotKept));
  AD_ASSERT_OK_AND_ASSIGN(const JobResult kept,
                          Run(image, OutputFormat::kPng, {.difference = 5, .visibility = 100}));
  EXPECT_EQ(kept.report.visibility_limit, 100);
  EXPECT_GT(kept.report.visibility.chroma_bias, 1e-3);
  EXPECT_GT(kept.report.visibility.low_frequency_share, 0);
}

TEST_F(JobRunnerTest, SameAsInputKeepsFormatAndAlpha) {
  const Picture picture = MakePicture(3, true);
  AD_ASSERT_OK_AND_ASSIGN(const JobResult png, Run(Encoded(picture), OutputFormat::kSameAsInput));
  EXPECT_EQ(png.format, ImageFormat::kPng);
  EXPECT_EQ(Decoded(png.image).alpha, picture.alpha);
  AD_ASSERT_OK_AND_ASSIGN(const JobResult webp,
                          Run(Encoded(picture, ImageFormat::kWebp), OutputFormat::kSameAsInput));
  EXPECT_EQ(webp.format, ImageFormat::kWebp);
  EXPECT_FALSE(Decoded(webp.image).alpha.empty());
  AD_ASSERT_OK_AND_ASSIGN(const JobResult jpeg, Run(Encoded(MakePicture(), ImageFormat::kJpeg),
                                                    OutputFormat::kSameAsInput));
  EXPECT_EQ(jpeg.format, ImageFormat::kJpeg);
}

TEST_F(JobRunnerTest, TheEngineKnowsOfAlphaWhereItHidesColours) {
  for (const int channels : {1, 3}) {
    Picture picture = MakePicture(channels, true);  // 0 in every 256th pixel
    AD_ASSERT_OK_AND_ASSIGN(const JobResult hidden, Run(Encoded(picture)));
    EXPECT_EQ(engine_->last_channels(), channels + 1);
    EXPECT_EQ(Decoded(hidden.image).alpha, picture.alpha);
    for (uint8_t& alpha : picture.alpha) alpha |= 1;
    AD_ASSERT_OK_AND_ASSIGN(const JobResult shown, Run(Encoded(picture)));
    EXPECT_EQ(engine_->last_channels(), channels);
    EXPECT_EQ(Decoded(shown.image).alpha, picture.alpha);
  }
}

TEST_F(JobRunnerTest, AlphaInJpegIsRefusedBeforeTheWork) {
  EXPECT_THAT(Run(Encoded(MakePicture(3, true)), OutputFormat::kJpeg),
              ViolatesField("output.format"));
  EXPECT_EQ(engine_->jobs(), 0);
}

TEST_F(JobRunnerTest, ASideThatWebpCannotHoldIsRefusedBeforeTheWork) {
  Picture picture;
  picture.image = SyntheticImage(16'384, 64, 1);
  EXPECT_THAT(Run(Encoded(picture), OutputFormat::kWebp), ViolatesField("output.format"));
  EXPECT_EQ(engine_->jobs(), 0);
}

TEST_F(JobRunnerTest, LossyReportsWhatTheCodecAdded) {
  AD_ASSERT_OK_AND_ASSIGN(const JobResult result, Run(Encoded(MakePicture()), OutputFormat::kJpeg));
  EXPECT_EQ(result.report.max_difference, 2) << "before encoding";
  EXPECT_GT(result.report.codec_difference, 0);
  EXPECT_NE(result.report.codec_note, "");
}

TEST_F(JobRunnerTest, GreyStaysGreyAndSurvivesColourFormats) {
  const Picture grey = MakePicture(1);
  AD_ASSERT_OK_AND_ASSIGN(const JobResult png, Run(Encoded(grey)));
  EXPECT_EQ(Decoded(png.image).image.channels, 1);
  EXPECT_THAT(Run(Encoded(grey), OutputFormat::kWebp), IsOk());
  EXPECT_THAT(Run(Encoded(grey), OutputFormat::kJpeg), IsOk());
}

TEST_F(JobRunnerTest, WhatCannotBeDecodedNamesTheImage) {
  for (const ImageFormat format : {ImageFormat::kPng, ImageFormat::kJpeg, ImageFormat::kWebp}) {
    const std::string bytes = Encoded(MakePicture(), format);
    EXPECT_THAT(Run(bytes.substr(0, bytes.size() / 2)), ViolatesField("image"));
  }
}

TEST_F(JobRunnerTest, FullReportArrives) {
  JobRequest request;
  request.image = Encoded(MakePicture());
  request.model = "alpha";
  request.options.report = ReportLevel::kFull;
  MakeJob(std::move(request));
  AD_ASSERT_OK_AND_ASSIGN(const JobResult result, RunJob());
  EXPECT_TRUE(result.report.full.has_value());
}

TEST_F(JobRunnerTest, TheEnginesErrorIsPassedOn) {
  const absl::Status error =
      WithReason(absl::ResourceExhaustedError("out of memory"), {reason::kDeviceMemory, {}});
  EXPECT_EQ(Run(Encoded(MakePicture()), OutputFormat::kPng, {.error = error}).status(), error);
}

TEST_F(JobRunnerTest, ADeadlineInTheQueueEndsBeforeTheWork) {
  JobRequest request;
  request.image = Encoded(MakePicture());
  MakeJob(std::move(request), now_);
  const auto result = RunJob();
  EXPECT_THAT(result, StatusIs(absl::StatusCode::kDeadlineExceeded, "queue"));
  EXPECT_EQ(engine_->jobs(), 0);
}

TEST_F(JobRunnerTest, ADeadlineIsHeldBeforeTheNextStep) {
  JobRequest request;
  request.image = Encoded(MakePicture());
  MakeJob(std::move(request), now_ + absl::Seconds(10));
  on_progress_ = [this](const Progress& progress) {
    if (progress.stage == "pgd" && progress.step == 2) now_ += absl::Seconds(10);
  };
  const auto result = RunJob({.steps = 5});
  EXPECT_THAT(result, StatusIs(absl::StatusCode::kDeadlineExceeded, "running"));
  EXPECT_THAT(result, HasReason(reason::kDeadlinePassed));
  EXPECT_EQ(engine_->steps(), 2);
}

TEST_F(JobRunnerTest, ADeadlinesErrorTellsHowFarTheEngineWas) {
  const std::map<std::string, std::string> facts = {
      {"stage", "pgd"}, {"step", "3"}, {"total", "10"}, {"eta_seconds", "7.5"}};
  const auto result =
      Run(Encoded(MakePicture()), OutputFormat::kPng,
          {.error = WithReason(absl::DeadlineExceededError("late"), {"ENGINES_OWN", facts})});
  EXPECT_THAT(result, StatusIs(absl::StatusCode::kDeadlineExceeded, "pgd"));
  EXPECT_THAT(result, HasReason(reason::kDeadlinePassed));
  EXPECT_EQ(GetErrorReason(result.status())->metadata, facts);
}

TEST_F(JobRunnerTest, ACancelIsHeldBeforeTheNextStepAndKeepsItsReason) {
  JobRequest request;
  request.image = Encoded(MakePicture());
  MakeJob(std::move(request));
  on_progress_ = [this](const Progress& progress) {
    if (progress.step == 1) job_->Cancel(ShutdownError());
  };
  EXPECT_THAT(RunJob({.steps = 5}), HasReason(reason::kShutdown));
  EXPECT_EQ(engine_->steps(), 1);
}

TEST_F(JobRunnerTest, ACancelWhileWaitingEndsBeforeTheWork) {
  JobRequest request;
  request.image = Encoded(MakePicture());
  MakeJob(std::move(request));
  job_->Cancel(CallerGoneError());
  EXPECT_THAT(RunJob(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(engine_->jobs(), 0);
}

}  // namespace
}  // namespace antidiffusion
