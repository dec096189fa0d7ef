#include "core/protect/progress_meter.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

class ProgressMeterTest : public testing::Test {
 protected:
  RunContext Context() {
    RunContext run;
    run.stop = stop_.get_token();
    run.now = [this] { return now_; };
    run.on_progress = [this](const Progress& progress) { seen_.push_back(progress); };
    return run;
  }
  void Advance(double seconds) { now_ += absl::Seconds(seconds); }

  std::stop_source stop_;
  absl::Time now_ = absl::FromUnixSeconds(1000);
  std::vector<Progress> seen_;
};

TEST_F(ProgressMeterTest, CountsOptimiserStepsOfTheWholeJob) {
  ProgressMeter meter(Context(), {.prompt_tuning = 1, .pgd = 2, .surrogate_tuning = 1}, 1);
  Advance(2);
  meter.StepDone(Stage::kPromptTuning, 0.5);
  Advance(3);
  meter.StepDone(Stage::kPgd, 0.25);
  ASSERT_EQ(seen_.size(), 2U);
  EXPECT_EQ(seen_[0].stage, "prompt_tuning");
  EXPECT_EQ(seen_[0].step, 1);
  EXPECT_EQ(seen_[0].total, 4);
  EXPECT_DOUBLE_EQ(seen_[0].loss, 0.5);
  EXPECT_DOUBLE_EQ(seen_[0].step_seconds, 2);
  EXPECT_EQ(seen_[1].stage, "pgd");
  EXPECT_EQ(seen_[1].step, 2);
  EXPECT_DOUBLE_EQ(seen_[1].step_seconds, 3);
}

TEST_F(ProgressMeterTest, TellsThatTheJobIsAliveWheneverItAsks) {
  int alive = 0;
  RunContext run = Context();
  run.on_alive = [&alive] { ++alive; };
  const ProgressMeter meter(run, {.prompt_tuning = 1, .pgd = 2, .surrogate_tuning = 1}, 1);
  EXPECT_THAT(meter.Check(Stage::kPgd), IsOk());
  EXPECT_THAT(meter.Check(Stage::kReport), IsOk());
  EXPECT_EQ(alive, 2);
  EXPECT_TRUE(seen_.empty());
}

TEST_F(ProgressMeterTest, FractionGrowsToOneAndEtaFallsToZero) {
  ProgressMeter meter(Context(), {.prompt_tuning = 2, .pgd = 2, .surrogate_tuning = 2}, 1);
  for (const Stage stage : {Stage::kPromptTuning, Stage::kPromptTuning, Stage::kPgd, Stage::kPgd,
                            Stage::kSurrogateTuning, Stage::kSurrogateTuning, Stage::kReport}) {
    Advance(1);
    meter.StepDone(stage, 0);
  }
  for (size_t i = 1; i < seen_.size(); ++i) EXPECT_GT(seen_[i].fraction, seen_[i - 1].fraction);
  EXPECT_LT(seen_[5].fraction, 1);
  EXPECT_GT(seen_[5].eta_seconds, 0);
  EXPECT_DOUBLE_EQ(seen_[6].fraction, 1);
  EXPECT_DOUBLE_EQ(seen_[6].eta_seconds, 0);
  EXPECT_EQ(seen_[6].step, 6);  // a report step is no optimiser step
  EXPECT_EQ(seen_[6].total, 6);
}

TEST_F(ProgressMeterTest, EtaFollowsTheSpeedSoFar) {
  ProgressMeter meter(Context(), {.pgd = 4}, 0);
  Advance(2);
  meter.StepDone(Stage::kPgd, 0);
  EXPECT_DOUBLE_EQ(seen_.back().eta_seconds, 6);
  Advance(4);
  meter.StepDone(Stage::kPgd, 0);
  EXPECT_DOUBLE_EQ(seen_.back().eta_seconds, 6);
}

TEST_F(ProgressMeterTest, AddsUpSecondsByStage) {
  ProgressMeter meter(Context(), {.prompt_tuning = 1, .pgd = 2}, 0);
  Advance(1);
  meter.StepDone(Stage::kPgd, 0);
  Advance(5);
  meter.StepDone(Stage::kPromptTuning, 0);
  Advance(2);
  meter.StepDone(Stage::kPgd, 0);
  const std::map<std::string, double> expected = {{"pgd", 3}, {"prompt_tuning", 5}};
  EXPECT_EQ(meter.stage_seconds(), expected);
}

TEST_F(ProgressMeterTest, CheckTellsOfCancelAndDeadline) {
  RunContext run = Context();
  run.deadline = now_ + absl::Seconds(10);
  ProgressMeter meter(run, {.pgd = 10}, 0);
  EXPECT_THAT(meter.Check(Stage::kPgd), IsOk());
  Advance(10);
  meter.StepDone(Stage::kPgd, 0);
  const absl::Status late = meter.Check(Stage::kPgd);
  EXPECT_THAT(late, StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(late, HasReason("DEADLINE_EXCEEDED"));
  EXPECT_EQ(GetErrorReason(late)->metadata.at("stage"), "pgd");
  EXPECT_EQ(GetErrorReason(late)->metadata.at("eta_seconds"), "90");
  stop_.request_stop();
  EXPECT_THAT(meter.Check(Stage::kPgd), StatusIs(absl::StatusCode::kCancelled));
}

}  // namespace
}  // namespace antidiffusion
