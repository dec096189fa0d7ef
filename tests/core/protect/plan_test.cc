#include "core/protect/plan.h"

#include <gtest/gtest.h>

#include <array>

#include "core/protect/released_script.h"

namespace antidiffusion {
namespace {

ModelInfo StableDiffusionInfo() {
  ModelInfo info;
  info.family = "sd2";
  info.denoises = true;
  info.has_semantic_layers = true;
  return info;
}

Plan PlanOf(const ProtectionOptions& options) {
  return MakePlan(options, StableDiffusionInfo(), /*grey=*/false);
}

// On [-1,1] -> 8-bit levels.
double Levels(double value) { return value * 127.5; }

ProtectionOptions Published(Mode mode) {
  ProtectionOptions options;
  options.effort = Effort::kPublished;
  options.mode = mode;
  return options;
}

TEST(PlanTest, PublishedIsThePublishedOne) {
  const Plan plan = PlanOf(Published(Mode::kPaper));
  EXPECT_EQ(plan.epochs, 5);
  EXPECT_EQ(plan.prompt_tuning.steps, 30);
  EXPECT_EQ(plan.pgd.steps, 10);
  EXPECT_EQ(plan.surrogate_tuning.steps, 20);
  EXPECT_DOUBLE_EQ(Levels(plan.budget), 6.375);
  EXPECT_DOUBLE_EQ(Levels(plan.pgd.step_size), 0.255);
  EXPECT_DOUBLE_EQ(plan.prompt_tuning.learning_rate, 1e-3);
  EXPECT_DOUBLE_EQ(plan.surrogate_tuning.learning_rate, 5e-7);
}

TEST(PlanTest, PublishedStepsAreCountedByMode) {
  const StepCounts paper = CountSteps(PlanOf(Published(Mode::kPaper)));
  EXPECT_EQ(paper.prompt_tuning, 150);
  EXPECT_EQ(paper.pgd, 60);
  EXPECT_EQ(paper.surrogate_tuning, 100);
  EXPECT_EQ(paper.total(), 310);
  EXPECT_EQ(CountSteps(PlanOf(Published(Mode::kReleased))).total(), 340);
}

TEST(PlanTest, WithoutEpochsTheFirstBlocksRemain) {
  ProtectionOptions options = Published(Mode::kPaper);
  options.epochs = 0;
  const StepCounts counts = CountSteps(PlanOf(options));
  EXPECT_EQ(counts.prompt_tuning, 30);
  EXPECT_EQ(counts.pgd, 10);
  EXPECT_EQ(counts.surrogate_tuning, 0);
}

TEST(PlanTest, ExplicitFieldsOverrideTheEffort) {
  ProtectionOptions options;
  options.effort = Effort::kDraft;
  options.epochs = 2;
  options.prompt_steps = 3;
  options.pgd_steps = 4;
  options.tuning_steps = 5;
  options.step_size_levels = 0.5;
  options.prompt_lr = 0.01;
  options.tuning_lr = 0.02;
  const Plan plan = PlanOf(options);
  EXPECT_EQ(plan.epochs, 2);
  EXPECT_EQ(plan.prompt_tuning.steps, 3);
  EXPECT_EQ(plan.pgd.steps, 4);
  EXPECT_EQ(plan.surrogate_tuning.steps, 5);
  EXPECT_DOUBLE_EQ(Levels(plan.pgd.step_size), 0.5);
  EXPECT_DOUBLE_EQ(plan.prompt_tuning.learning_rate, 0.01);
  EXPECT_DOUBLE_EQ(plan.surrogate_tuning.learning_rate, 0.02);
}

TEST(PlanTest, EffortsButThePublishedOneTakeWhatWasMeasured) {
  for (const Effort effort : {Effort::kDraft, Effort::kStandard, Effort::kStrong}) {
    ProtectionOptions options;
    options.effort = effort;
    const Plan plan = PlanOf(options);
    EXPECT_DOUBLE_EQ(plan.pgd.momentum, 0.9);
    EXPECT_EQ(plan.pgd.timestep_min, 500);
    EXPECT_EQ(plan.pgd.timestep_max, 999);
    EXPECT_EQ(plan.pgd.draws, 1);
    EXPECT_EQ(plan.pgd.jpeg_quality, 0);
    EXPECT_DOUBLE_EQ(Levels(plan.pgd.step_size), 0.3 * 6.375);
  }
  const PgdPlan published = PlanOf(Published(Mode::kPaper)).pgd;
  EXPECT_EQ(published.momentum, 0);
  EXPECT_EQ(published.timestep_min, 0);
}

TEST(PlanTest, EffortsHaveTheirStages) {
  const auto counts = [](Effort effort) {
    ProtectionOptions options;
    options.effort = effort;
    const StepCounts steps = CountSteps(PlanOf(options));
    return std::array{steps.prompt_tuning, steps.pgd, steps.surrogate_tuning};
  };
  EXPECT_EQ(counts(Effort::kDraft), (std::array{0, 10, 0}));
  EXPECT_EQ(counts(Effort::kStandard), (std::array{10, 30, 0}));
  EXPECT_EQ(counts(Effort::kStrong), (std::array{60, 80, 60}));
}

TEST(PlanTest, AnEndOfTheTimestepsAloneDrawsFromTheFirst) {
  ProtectionOptions options;
  options.timestep_max = 700;
  EXPECT_EQ(PlanOf(options).pgd.timestep_min, 0);
  EXPECT_EQ(PlanOf(options).pgd.timestep_max, 700);
  options.timestep_min = 300;
  EXPECT_EQ(PlanOf(options).pgd.timestep_min, 300);
}

TEST(PlanTest, EffortsGrow) {
  int last = 0;
  for (const Effort effort : {Effort::kDraft, Effort::kStandard, Effort::kStrong}) {
    ProtectionOptions options;
    options.effort = effort;
    const int total = CountSteps(PlanOf(options)).total();
    EXPECT_GT(total, last);
    last = total;
  }
}

TEST(PlanTest, PlannedStepsCanUseTheWholeBudget) {
  for (const Effort effort : {Effort::kDraft, Effort::kStandard, Effort::kStrong}) {
    for (const Mode mode : {Mode::kPaper, Mode::kReleased}) {
      ProtectionOptions options;
      options.effort = effort;
      options.mode = mode;
      options.budget_levels = 8;
      const Plan plan = PlanOf(options);
      const int steps = CountSteps(plan).pgd;
      EXPECT_GE(steps * Levels(plan.pgd.step_size), 8 - 1e-9);
      EXPECT_LE(Levels(plan.pgd.step_size), 8 + 1e-9);
    }
  }
}

TEST(PlanTest, StepSizeNeverPassesTheBudget) {
  ProtectionOptions options = Published(Mode::kPaper);
  options.budget_levels = 0.1;
  EXPECT_DOUBLE_EQ(Levels(PlanOf(options).pgd.step_size), 0.1);
  options.effort = Effort::kDraft;
  options.pgd_steps = 1;
  EXPECT_DOUBLE_EQ(Levels(PlanOf(options).pgd.step_size), 0.1);
  options.pgd_steps = 0;
  EXPECT_DOUBLE_EQ(Levels(PlanOf(options).pgd.step_size), 0.1);
}

TEST(PlanTest, StagesThatAMethodLacksHaveNoSteps) {
  ProtectionOptions options = Published(Mode::kPaper);
  options.method = Method::kAdvDm;
  options.prompt_steps = 7;
  EXPECT_EQ(PlanOf(options).prompt_tuning.steps, 0);
  EXPECT_EQ(PlanOf(options).surrogate_tuning.steps, 0);
  EXPECT_EQ(PlanOf(options).pgd.steps, 10);
  options.method = Method::kNoise;
  EXPECT_EQ(CountSteps(PlanOf(options)).total(), 0);
  options.method = Method::kAntiDiffusionNoTuning;
  EXPECT_EQ(PlanOf(options).prompt_tuning.steps, 7);
  EXPECT_EQ(PlanOf(options).surrogate_tuning.steps, 0);
}

TEST(PlanTest, BoundIsTheBudgetInWholeLevels) {
  ProtectionOptions options = Published(Mode::kPaper);
  EXPECT_EQ(PlanOf(options).bound, 6);
  options.budget_levels = 0.9;
  EXPECT_EQ(PlanOf(options).bound, 0);
  options.budget_levels = 8;
  EXPECT_EQ(PlanOf(options).bound, 8);
}

TEST(PlanTest, BoundOfReleasedIsItsTrueOne) {
  ProtectionOptions options = Published(Mode::kReleased);
  // 60 steps of 0.255 levels reach 15.3 before six budgets (38.25) do.
  EXPECT_EQ(PlanOf(options).bound, 15);
  options.step_size_levels = 2;
  EXPECT_EQ(PlanOf(options).bound, 38);
  options.budget_levels = 32;
  options.epochs = 1000;
  EXPECT_EQ(PlanOf(options).bound, 255);
  options = Published(Mode::kReleased);
  options.random_start = true;  // the whole budget at once, then five blocks of 2.55 levels
  EXPECT_EQ(PlanOf(options).bound, 19);
  options.epochs = 0;
  EXPECT_EQ(PlanOf(options).bound, 6);
  options = Published(Mode::kReleased);
  options.method = Method::kNoise;
  EXPECT_EQ(PlanOf(options).bound, 6);
}

TEST(PlanTest, ReleasedIsAllThatTheScriptDoesByAccident) {
  const Plan paper = PlanOf(Published(Mode::kPaper));
  EXPECT_TRUE(paper.pgd.centre_on_original);
  EXPECT_FALSE(paper.surrogate_tuning.stale_gradients);
  EXPECT_EQ(paper.surrogate_tuning.clip_norm, 1);
  EXPECT_TRUE(paper.semantic.all_heads);
  EXPECT_EQ(paper.semantic.form, SemanticForm::kConcentration);
  EXPECT_FALSE(paper.prompt_tuning.target_is_noise);
  EXPECT_FALSE(paper.prompt_tuning.after_last_pgd);
  const Plan released = PlanOf(Published(Mode::kReleased));
  EXPECT_FALSE(released.pgd.centre_on_original);
  EXPECT_TRUE(released.surrogate_tuning.stale_gradients);
  EXPECT_EQ(released.surrogate_tuning.clip_norm, 0);
  EXPECT_FALSE(released.semantic.all_heads);
  EXPECT_EQ(released.semantic.form, SemanticForm::kClamped);
  EXPECT_TRUE(released.prompt_tuning.target_is_noise);
  EXPECT_TRUE(released.prompt_tuning.after_last_pgd);
}

TEST(PlanTest, AFormThatWasAskedForHoldsInEitherMode) {
  ProtectionOptions options = Published(Mode::kReleased);
  options.experimental.semantic_form = SemanticForm::kConcentration;
  EXPECT_EQ(PlanOf(options).semantic.form, SemanticForm::kConcentration);
}

TEST(PlanTest, StaleGradientsAreAskedForOnlyWhereTuningReadsThem) {
  const Plan plan = PlanOf(Published(Mode::kReleased));
  EXPECT_FALSE(LeavesWeightGradientsInPgd(plan, 0, 8));
  EXPECT_TRUE(LeavesWeightGradientsInPgd(plan, 0, 9));
  EXPECT_TRUE(LeavesWeightGradientsInPgd(plan, 4, 9));
  EXPECT_FALSE(LeavesWeightGradientsInPgd(plan, 5, 9));
  EXPECT_FALSE(LeavesWeightGradientsInPromptTuning(plan, 0));
  EXPECT_TRUE(LeavesWeightGradientsInPromptTuning(plan, 4));
  EXPECT_FALSE(LeavesWeightGradientsInPromptTuning(plan, 5));
  EXPECT_FALSE(LeavesWeightGradientsInPgd(PlanOf(Published(Mode::kPaper)), 0, 9));
}

TEST(PlanTest, ObjectivesReplaceTheMethodsOwn) {
  ProtectionOptions options;
  EXPECT_EQ(PlanOf(options).raised.denoising, 1);
  EXPECT_EQ(PlanOf(options).raised.semantic, 1);
  options.objectives = {{Objective::kDenoising, 2}, {Objective::kNorm, 3}};
  const Plan plan = PlanOf(options);
  EXPECT_EQ(plan.raised.denoising, 2);
  EXPECT_EQ(plan.raised.norm, 3);
  EXPECT_EQ(plan.raised.semantic, 0);
  EXPECT_EQ(plan.prompt_tuning.steps, 10) << "the stages stay the method's";
}

TEST(PlanTest, StagesThatNoObjectiveNeedsAreLeftOut) {
  ProtectionOptions options = Published(Mode::kPaper);
  options.objectives = {{Objective::kAway}};
  const Plan plan = PlanOf(options);
  EXPECT_EQ(plan.prompt_tuning.steps, 0);
  EXPECT_EQ(plan.surrogate_tuning.steps, 0);
  EXPECT_EQ(plan.pgd.steps, 10);
  EXPECT_FALSE(plan.tunes_surrogate());
}

TEST(PlanTest, PgdStartsAtRandomWhereTheOriginalHasNoGradient) {
  ProtectionOptions options;
  EXPECT_FALSE(PlanOf(options).pgd.random_start);
  options.also = {"other"};  // adds away
  EXPECT_TRUE(PlanOf(options).pgd.random_start);
  options.random_start = false;
  EXPECT_FALSE(PlanOf(options).pgd.random_start);
  options = {};
  options.random_start = true;
  EXPECT_TRUE(PlanOf(options).pgd.random_start);
}

TEST(PlanTest, TheOwnEncoderIsComparedUnlessATermOfItsUNetStandsForIt) {
  ProtectionOptions options;
  EXPECT_FALSE(PlanOf(options).compares_own_encoder);
  options.objectives = {{Objective::kAway}};
  EXPECT_TRUE(PlanOf(options).compares_own_encoder);
  options.also = {"other"};
  EXPECT_TRUE(PlanOf(options).compares_own_encoder);
  EXPECT_TRUE(MakePlan(options, ModelInfo{}, false).compares_own_encoder);
  options.objectives = {{Objective::kDenoising}, {Objective::kAway}};
  EXPECT_FALSE(PlanOf(options).compares_own_encoder);
  options.also.clear();
  EXPECT_TRUE(PlanOf(options).compares_own_encoder);
}

TEST(PlanTest, WhatCanBeSeenIsLimitedUnlessTheScriptIsFollowed) {
  ProtectionOptions options;
  EXPECT_EQ(PlanOf(options).visibility, 0.6);
  options.visibility = 0;
  EXPECT_EQ(PlanOf(options).visibility, 0);
  options = Published(Mode::kReleased);
  EXPECT_EQ(PlanOf(options).visibility, 0);
  options.visibility = 1.5;
  EXPECT_EQ(PlanOf(options).visibility, 1.5);
}

TEST(PlanTest, DrawsAreOfTermsThatDraw) {
  ProtectionOptions options;
  options.pgd_draws = 8;
  EXPECT_EQ(PlanOf(options).pgd.draws, 8);
  options.objectives = {{Objective::kAway}};
  EXPECT_EQ(PlanOf(options).pgd.draws, 1);
}

TEST(PlanTest, AMethodGoesWithoutSemanticLayersThatTheModelHasNot) {
  ModelInfo model = StableDiffusionInfo();
  model.has_semantic_layers = false;
  ProtectionOptions options;
  EXPECT_EQ(MakePlan(options, model, false).raised.semantic, 0);
  options.experimental.semantic_layers = SemanticLayers::kHalf;
  EXPECT_EQ(MakePlan(options, model, false).raised.semantic, 1);
}

}  // namespace
}  // namespace antidiffusion
