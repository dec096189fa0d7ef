#include "tests/load/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

#include "absl/time/clock.h"

namespace antidiffusion {
namespace {

using ::testing::ElementsAre;

TEST(ScheduleTest, RunsActionsInTheOrderOfTheirTimesAlsoThoseOfActions) {
  Schedule schedule;
  std::vector<int> order;
  const absl::Time now = absl::Now();
  schedule.At(now - absl::Seconds(1), [&] {
    order.push_back(2);
    schedule.At(now, [&] {
      order.push_back(3);
      schedule.Stop();
    });
  });
  schedule.At(now - absl::Seconds(2), [&] { order.push_back(1); });
  schedule.Run();
  EXPECT_THAT(order, ElementsAre(1, 2, 3));
}

TEST(ScheduleTest, AnActionOfAnotherThreadWakesIt) {
  Schedule schedule;
  schedule.At(absl::InfiniteFuture(), [] { ADD_FAILURE(); });
  const std::jthread other(
      [&schedule] { schedule.At(absl::Now(), [&schedule] { schedule.Stop(); }); });
  schedule.Run();
}

TEST(ScheduleTest, WhatIsLeftIsDropped) {
  Schedule schedule;
  const auto held = std::make_shared<int>(1);
  schedule.At(absl::InfiniteFuture(), [held] {});
  EXPECT_EQ(held.use_count(), 2);
  schedule.Stop();
  schedule.Run();
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace antidiffusion
