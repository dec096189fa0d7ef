#include "server/eta_estimator.h"

#include <gtest/gtest.h>

#include <string>

namespace antidiffusion {
namespace {

TEST(EtaEstimatorTest, KnowsOnlyKindsOfJobsThatRan) {
  EtaEstimator eta;
  ProtectionOptions options;
  EXPECT_FALSE(eta.Expected("m", options).has_value());
  eta.Record("m", options, 10, 5);
  EXPECT_EQ(eta.Expected("m", options), 10);
  EXPECT_FALSE(eta.Expected("other", options).has_value());
  options.effort = Effort::kPublished;
  EXPECT_FALSE(eta.Expected("m", options).has_value());
  options.effort = Effort::kStandard;
  options.pgd_steps = 3;
  EXPECT_FALSE(eta.Expected("m", options).has_value());
  options.pgd_steps.reset();
  options.pgd_draws = 3;
  EXPECT_FALSE(eta.Expected("m", options).has_value());
  options.pgd_draws.reset();
  options.also = {"other"};  // an encoder pass more in each step
  EXPECT_FALSE(eta.Expected("m", options).has_value());
  options.also.clear();
  options.objectives = {{Objective::kAway}};
  EXPECT_FALSE(eta.Expected("m", options).has_value());
}

TEST(EtaEstimatorTest, WhatChangesNumbersAloneIsNoOtherKind) {
  EtaEstimator eta;
  ProtectionOptions options;
  options.objectives = {{Objective::kAway, 2}};
  eta.Record("m", options, 10, 5);
  options.seed = 7;
  options.prompt = "a photo";
  options.budget_levels = 4;
  options.momentum = 0.5;
  options.random_start = true;
  options.objectives = {{Objective::kAway, 3}};
  EXPECT_EQ(eta.Expected("m", options), 10);
}

TEST(EtaEstimatorTest, FollowsTheNewestMeasurements) {
  EtaEstimator eta;
  const ProtectionOptions options;
  eta.Record("m", options, 10, 5);
  for (int i = 0; i < 20; ++i) eta.Record("m", options, 20, 5);
  EXPECT_NEAR(*eta.Expected("m", options), 20, 0.1);
}

TEST(EtaEstimatorTest, AStripOfManyPiecesLeavesTheOthersEstimateAlone) {
  EtaEstimator eta;
  const ProtectionOptions options;
  eta.Record("m", options, 50, 25);
  EXPECT_EQ(eta.Expected("m", options), 50);
  eta.Record("m", options, 10, 5);
  EXPECT_EQ(eta.Expected("m", options), 10);
  eta.Record("m", options, 50, 25);
  EXPECT_EQ(eta.Expected("m", options), 10);
}

TEST(EtaEstimatorTest, AJobWithoutStepsCountsAsOne) {
  EtaEstimator eta;
  const ProtectionOptions options;
  eta.Record("m", options, 2, 0);
  EXPECT_EQ(eta.Expected("m", options), 2);
}

TEST(EtaEstimatorTest, ForgetsTheKindNotSeenForLongest) {
  EtaEstimator eta;
  ProtectionOptions options;
  for (int kind = 0; kind <= static_cast<int>(EtaEstimator::kMaxKinds); ++kind) {
    options.pgd_steps = kind;
    eta.Record("m", options, 10, 5);
    options.pgd_steps = 0;
    if (kind > 0) eta.Record("m", options, 10, 5);  // kind 0 is seen all the time
  }
  EXPECT_TRUE(eta.Expected("m", options).has_value());
  options.pgd_steps = 1;
  EXPECT_FALSE(eta.Expected("m", options).has_value());
  options.pgd_steps = 2;
  EXPECT_TRUE(eta.Expected("m", options).has_value());
}

}  // namespace
}  // namespace antidiffusion
