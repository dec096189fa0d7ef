#include "tests/load/arrival_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

namespace antidiffusion {
namespace {

LoadSettings Settings() {
  LoadSettings settings;
  settings.tenants = {{.name = "flood", .share = 9}, {.name = "quiet", .share = 1}};
  settings.sizes = {{}, {}};
  settings.count = 20'000;
  settings.rate = 50;
  settings.jobs_ratio = 0.25;
  settings.cancel_ratio = 0.1;
  settings.cancel_after = absl::Seconds(2);
  settings.slow_ratio = 0.05;
  return settings;
}

std::vector<Arrival> All(const LoadSettings& settings) {
  ArrivalPlan plan(settings);
  std::vector<Arrival> arrivals;
  while (const auto arrival = plan.Next()) arrivals.push_back(*arrival);
  return arrivals;
}

TEST(ArrivalPlanTest, TheSameSettingsGiveTheSamePlan) {
  const LoadSettings settings = Settings();
  const auto first = All(settings);
  const auto second = All(settings);
  ASSERT_EQ(first.size(), second.size());
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(first[i].at, second[i].at);
    EXPECT_EQ(first[i].cancel_after, second[i].cancel_after);
  }
}

// Shares within four standard deviations; the seed is fixed, so this is not a matter of luck.
TEST(ArrivalPlanTest, TheSharesAreThoseOfTheSettings) {
  const auto arrivals = All(Settings());
  ASSERT_EQ(arrivals.size(), 20'000U);
  int jobs = 0, quiet = 0, cancelled = 0, slow = 0, second_picture = 0;
  double cancel_after = 0;
  std::set<uint64_t> seeds;
  for (const Arrival& arrival : arrivals) {
    jobs += arrival.kind == RequestKind::kJob;
    quiet += arrival.tenant == 1;
    slow += arrival.slow;
    second_picture += arrival.picture == 1;
    cancelled += arrival.cancel_after.has_value();
    cancel_after += absl::ToDoubleSeconds(arrival.cancel_after.value_or(absl::ZeroDuration()));
    seeds.insert(arrival.seed);
  }
  const auto near = [](int number, double share) {
    return std::abs(number - 20'000 * share) < 4 * std::sqrt(20'000 * share * (1 - share));
  };
  EXPECT_TRUE(near(jobs, 0.25)) << jobs;
  EXPECT_TRUE(near(quiet, 0.1)) << quiet;
  EXPECT_TRUE(near(slow, 0.05)) << slow;
  EXPECT_TRUE(near(second_picture, 0.5)) << second_picture;
  EXPECT_TRUE(near(cancelled, 0.1)) << cancelled;
  EXPECT_NEAR(cancel_after / cancelled, 2, 0.2);
  EXPECT_EQ(seeds.size(), arrivals.size());
}

// Of a Poisson process the gaps have the mean 1/rate and a standard deviation that equals it.
TEST(ArrivalPlanTest, TheArrivalsAreAPoissonProcess) {
  const auto arrivals = All(Settings());
  double previous = 0, sum = 0, squares = 0;
  for (const Arrival& arrival : arrivals) {
    const double gap = absl::ToDoubleSeconds(arrival.at) - previous;
    previous += gap;
    sum += gap;
    squares += gap * gap;
  }
  const double mean = sum / 20'000;
  EXPECT_NEAR(mean, 0.02, 0.001);
  EXPECT_NEAR(std::sqrt(squares / 20'000 - mean * mean), 0.02, 0.001);
}

TEST(ArrivalPlanTest, ADurationEndsIt) {
  LoadSettings settings = Settings();
  settings.duration = absl::Seconds(10);
  const auto arrivals = All(settings);
  EXPECT_NEAR(static_cast<double>(arrivals.size()), 500, 100);
  EXPECT_LE(arrivals.back().at, absl::Seconds(10));
}

}  // namespace
}  // namespace antidiffusion
