#include "core/protect/schedule.h"

#include <gtest/gtest.h>

#include <array>

namespace antidiffusion {
namespace {

ProtectionOptions Published(Mode mode) {
  ProtectionOptions options;
  options.effort = Effort::kPublished;
  options.mode = mode;
  return options;
}

TEST(ScheduleTest, PublishedIsThePublishedOne) {
  const Schedule schedule = ResolveSchedule(Published(Mode::kPaper));
  EXPECT_EQ(schedule.epochs, 5);
  EXPECT_EQ(schedule.prompt_steps, 30);
  EXPECT_EQ(schedule.pgd_steps, 10);
  EXPECT_EQ(schedule.tuning_steps, 20);
  EXPECT_DOUBLE_EQ(schedule.budget_levels, 6.375);
  EXPECT_DOUBLE_EQ(schedule.step_size_levels, 0.255);
  EXPECT_DOUBLE_EQ(schedule.prompt_lr, 1e-3);
  EXPECT_DOUBLE_EQ(schedule.tuning_lr, 5e-7);
}

TEST(ScheduleTest, PublishedStepsAreCountedByMode) {
  const StepCounts paper = CountSteps(ResolveSchedule(Published(Mode::kPaper)), Mode::kPaper);
  EXPECT_EQ(paper.prompt_tuning, 150);
  EXPECT_EQ(paper.pgd, 60);
  EXPECT_EQ(paper.surrogate_tuning, 100);
  EXPECT_EQ(paper.total(), 310);
  EXPECT_EQ(CountSteps(ResolveSchedule(Published(Mode::kReleased)), Mode::kReleased).total(), 340);
}

TEST(ScheduleTest, WithoutEpochsTheFirstBlocksRemain) {
  ProtectionOptions options = Published(Mode::kPaper);
  options.epochs = 0;
  const StepCounts counts = CountSteps(ResolveSchedule(options), options.mode);
  EXPECT_EQ(counts.prompt_tuning, 30);
  EXPECT_EQ(counts.pgd, 10);
  EXPECT_EQ(counts.surrogate_tuning, 0);
}

TEST(ScheduleTest, ExplicitFieldsOverrideTheEffort) {
  ProtectionOptions options;
  options.effort = Effort::kDraft;
  options.epochs = 2;
  options.prompt_steps = 3;
  options.pgd_steps = 4;
  options.tuning_steps = 5;
  options.step_size_levels = 0.5;
  options.prompt_lr = 0.01;
  options.tuning_lr = 0.02;
  const Schedule schedule = ResolveSchedule(options);
  EXPECT_EQ(schedule.epochs, 2);
  EXPECT_EQ(schedule.prompt_steps, 3);
  EXPECT_EQ(schedule.pgd_steps, 4);
  EXPECT_EQ(schedule.tuning_steps, 5);
  EXPECT_DOUBLE_EQ(schedule.step_size_levels, 0.5);
  EXPECT_DOUBLE_EQ(schedule.prompt_lr, 0.01);
  EXPECT_DOUBLE_EQ(schedule.tuning_lr, 0.02);
}

TEST(ScheduleTest, EffortsButThePublishedOneTakeWhatWasMeasured) {
  for (const Effort effort : {Effort::kDraft, Effort::kStandard, Effort::kStrong}) {
    ProtectionOptions options;
    options.effort = effort;
    const Schedule schedule = ResolveSchedule(options);
    EXPECT_DOUBLE_EQ(schedule.refinements.momentum, 0.9);
    EXPECT_EQ(schedule.refinements.timestep_min, 500);
    EXPECT_EQ(schedule.refinements.timestep_max, 999);
    EXPECT_EQ(schedule.refinements.draws, 1);
    EXPECT_EQ(schedule.refinements.jpeg_quality, 0);
    EXPECT_DOUBLE_EQ(schedule.step_size_levels, 0.3 * 6.375);
  }
  const PgdRefinements published = ResolveSchedule(Published(Mode::kPaper)).refinements;
  EXPECT_EQ(published.momentum, 0);
  EXPECT_EQ(published.timestep_min, 0);
}

TEST(ScheduleTest, EffortsHaveTheirStages) {
  const auto counts = [](Effort effort) {
    ProtectionOptions options;
    options.effort = effort;
    const StepCounts steps = CountSteps(ResolveSchedule(options), options.mode);
    return std::array{steps.prompt_tuning, steps.pgd, steps.surrogate_tuning};
  };
  EXPECT_EQ(counts(Effort::kDraft), (std::array{0, 10, 0}));
  EXPECT_EQ(counts(Effort::kStandard), (std::array{10, 30, 0}));
  EXPECT_EQ(counts(Effort::kStrong), (std::array{60, 80, 60}));
}

TEST(ScheduleTest, AnEndOfTheTimestepsAloneDrawsFromTheFirst) {
  ProtectionOptions options;
  options.timestep_max = 700;
  EXPECT_EQ(ResolveSchedule(options).refinements.timestep_min, 0);
  EXPECT_EQ(ResolveSchedule(options).refinements.timestep_max, 700);
  options.timestep_min = 300;
  EXPECT_EQ(ResolveSchedule(options).refinements.timestep_min, 300);
}

TEST(ScheduleTest, EffortsGrow) {
  int last = 0;
  for (const Effort effort : {Effort::kDraft, Effort::kStandard, Effort::kStrong}) {
    ProtectionOptions options;
    options.effort = effort;
    const int total = CountSteps(ResolveSchedule(options), options.mode).total();
    EXPECT_GT(total, last);
    last = total;
  }
}

TEST(ScheduleTest, PlannedStepsCanUseTheWholeBudget) {
  for (const Effort effort : {Effort::kDraft, Effort::kStandard, Effort::kStrong}) {
    for (const Mode mode : {Mode::kPaper, Mode::kReleased}) {
      ProtectionOptions options;
      options.effort = effort;
      options.mode = mode;
      options.budget_levels = 8;
      const Schedule schedule = ResolveSchedule(options);
      const int steps = CountSteps(schedule, Mode::kPaper).pgd;
      EXPECT_GE(steps * schedule.step_size_levels, 8);
      EXPECT_LE(schedule.step_size_levels, 8);
    }
  }
}

TEST(ScheduleTest, StepSizeNeverPassesTheBudget) {
  ProtectionOptions options = Published(Mode::kPaper);
  options.budget_levels = 0.1;
  EXPECT_DOUBLE_EQ(ResolveSchedule(options).step_size_levels, 0.1);
  options.effort = Effort::kDraft;
  options.pgd_steps = 1;
  EXPECT_DOUBLE_EQ(ResolveSchedule(options).step_size_levels, 0.1);
  options.pgd_steps = 0;
  EXPECT_DOUBLE_EQ(ResolveSchedule(options).step_size_levels, 0.1);
}

TEST(ScheduleTest, StagesThatAMethodLacksHaveNoSteps) {
  ProtectionOptions options = Published(Mode::kPaper);
  options.method = Method::kAdvDm;
  options.prompt_steps = 7;
  EXPECT_EQ(ResolveSchedule(options).prompt_steps, 0);
  EXPECT_EQ(ResolveSchedule(options).tuning_steps, 0);
  EXPECT_EQ(ResolveSchedule(options).pgd_steps, 10);
  options.method = Method::kNoise;
  EXPECT_EQ(CountSteps(ResolveSchedule(options), options.mode).total(), 0);
  options.method = Method::kAntiDiffusionNoTuning;
  EXPECT_EQ(ResolveSchedule(options).prompt_steps, 7);
  EXPECT_EQ(ResolveSchedule(options).tuning_steps, 0);
}

TEST(ScheduleTest, BoundIsTheBudgetInWholeLevels) {
  ProtectionOptions options = Published(Mode::kPaper);
  EXPECT_EQ(ProvenBound(ResolveSchedule(options), options.mode), 6);
  options.budget_levels = 0.9;
  EXPECT_EQ(ProvenBound(ResolveSchedule(options), options.mode), 0);
  options.budget_levels = 8;
  EXPECT_EQ(ProvenBound(ResolveSchedule(options), options.mode), 8);
}

TEST(ScheduleTest, BoundOfReleasedIsItsTrueOne) {
  ProtectionOptions options = Published(Mode::kReleased);
  // 60 steps of 0.255 levels reach 15.3 before six budgets (38.25) do.
  EXPECT_EQ(ProvenBound(ResolveSchedule(options), options.mode), 15);
  options.step_size_levels = 2;
  EXPECT_EQ(ProvenBound(ResolveSchedule(options), options.mode), 38);
  options.budget_levels = 32;
  options.epochs = 1000;
  EXPECT_EQ(ProvenBound(ResolveSchedule(options), options.mode), 255);
  options = Published(Mode::kReleased);
  options.method = Method::kNoise;
  EXPECT_EQ(ProvenBound(ResolveSchedule(options), options.mode), 6);
}

}  // namespace
}  // namespace antidiffusion
