#include "server/fair_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace antidiffusion {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr auto kBatch = JobPriority::kBatch;

FairOrder::Entry Entry(const std::string& tenant, double cost = 1,
                       JobPriority priority = JobPriority::kInteractive) {
  return {nullptr, tenant, priority, cost};
}

// Tenants in the order of service; batch jobs with a "*".
std::vector<std::string> Served(FairOrder& order, size_t count = 1000,
                                const FairOrder::MayRun& may_run = nullptr) {
  std::vector<std::string> served;
  while (served.size() < count && order.CanPop(may_run)) {
    const FairOrder::Entry entry = order.PopNext(may_run);
    served.push_back(absl::StrCat(entry.tenant, entry.priority == kBatch ? "*" : ""));
  }
  return served;
}

void PushMany(FairOrder& order, int count, const FairOrder::Entry& entry, double weight = 1) {
  for (int i = 0; i < count; ++i) order.PushBack(entry, weight);
}

TEST(FairOrderTest, AQuietTenantIsServedAmidAFlood) {
  FairOrder order;
  PushMany(order, 50, Entry("flood"));
  EXPECT_THAT(Served(order, 3), ElementsAre("flood", "flood", "flood"));
  PushMany(order, 2, Entry("quiet"));
  EXPECT_THAT(Served(order, 6), ElementsAre("flood", "quiet", "flood", "quiet", "flood", "flood"));
}

TEST(FairOrderTest, AJobWaitsForOneOfEachOtherTenantWhateverTheyHaveWaiting) {
  constexpr int kFlooding = 9;
  FairOrder order;
  for (int i = 0; i < kFlooding; ++i) PushMany(order, 100, Entry(absl::StrCat("flood", i)));
  for (int popped = 0; popped < 30; ++popped) {
    FairOrder now = order;
    now.PushBack(Entry("quiet"), 1);
    const auto served = Served(now);
    const auto place = std::find(served.begin(), served.end(), "quiet") - served.begin();
    EXPECT_LE(place, kFlooding) << "after " << popped;
    order.PopNext();
  }
}

TEST(FairOrderTest, WeightsAreSharesOfTheWork) {
  FairOrder order;
  PushMany(order, 100, Entry("one"), 1);
  PushMany(order, 100, Entry("three"), 3);
  const auto served = Served(order, 40);
  EXPECT_EQ(std::count(served.begin(), served.end(), "three"), 30);
}

TEST(FairOrderTest, LongJobsCostMoreThanShortOnes) {
  FairOrder order;
  PushMany(order, 100, Entry("long", 10));
  PushMany(order, 100, Entry("short", 1));
  const auto served = Served(order, 55);
  EXPECT_EQ(std::count(served.begin(), served.end(), "long"), 5);
}

TEST(FairOrderTest, OverTimeWorkIsSharedWhateverTheLengths) {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> length(0.5, 20);
  FairOrder order;
  for (int i = 0; i < 2000; ++i) {
    order.PushBack(Entry("a", length(random)), 1);
    order.PushBack(Entry("b", length(random) / 10), 2);
  }
  double work[2] = {0, 0};
  for (int i = 0; i < 1000; ++i) {
    const FairOrder::Entry entry = order.PopNext();
    work[entry.tenant == "b"] += entry.cost;
  }
  EXPECT_NEAR(work[1], 2 * work[0], 2 * 20.0) << "by at most one job of each";
}

TEST(FairOrderTest, AbsenceSavesNothing) {
  FairOrder order;
  PushMany(order, 1, Entry("returning"));
  PushMany(order, 40, Entry("steady"));
  Served(order, 21);
  PushMany(order, 10, Entry("returning"));
  EXPECT_THAT(Served(order, 4), ElementsAre("steady", "returning", "steady", "returning"));
}

TEST(FairOrderTest, EightInteractiveJobsForOneBatchJob) {
  FairOrder order;
  PushMany(order, 3, Entry("a", 1, kBatch));
  PushMany(order, 30, Entry("a"));
  const auto served = Served(order, 18);
  EXPECT_EQ(std::count(served.begin(), served.end(), "a*"), 2);
  EXPECT_EQ(served[8], "a*");
  EXPECT_EQ(served[17], "a*");
}

TEST(FairOrderTest, AFloodOfInteractiveJobsDoesNotStarveBatch) {
  FairOrder order;
  order.PushBack(Entry("b", 1, kBatch), 1);
  int before = 0;
  for (;; ++before) {  // never an end to the flood
    PushMany(order, 2, Entry("flood"));
    if (order.PopNext().priority == kBatch) break;
  }
  EXPECT_EQ(before, 8);
}

TEST(FairOrderTest, AnInteractiveJobGoesBeforeAllWaitingBatchJobs) {
  FairOrder order;
  PushMany(order, 50, Entry("b", 1, kBatch));
  Served(order, 5);
  order.PushBack(Entry("a"), 1);
  EXPECT_THAT(Served(order, 2), ElementsAre("a", "b*"));
}

TEST(FairOrderTest, WhoMayNotRunIsPassedOverAndKeepsItsPlace) {
  FairOrder order;
  PushMany(order, 3, Entry("capped"));
  PushMany(order, 5, Entry("other"));
  const auto not_capped = [](const std::string& tenant) { return tenant != "capped"; };
  EXPECT_THAT(Served(order, 3, not_capped), ElementsAre("other", "other", "other"));
  EXPECT_THAT(Served(order, 4), ElementsAre("capped", "other", "capped", "other"))
      << "the time without permission is not made up for";
  const auto nobody = [](const std::string&) { return false; };
  EXPECT_FALSE(order.CanPop(nobody));
  EXPECT_THAT(Served(order, 1, nobody), IsEmpty());
  EXPECT_EQ(order.size(), 1u);
}

TEST(FairOrderTest, WhatIsPutBackGoesFirstAndWasPaidFor) {
  FairOrder order;
  PushMany(order, 3, Entry("a", 4));
  PushMany(order, 8, Entry("b", 4));
  const FairOrder::Entry lost = order.PopNext();
  EXPECT_EQ(lost.tenant, "a");
  order.PushFront(lost, 1);
  EXPECT_THAT(Served(order, 5), ElementsAre("a", "b", "a", "b", "a"));
}

TEST(FairOrderTest, WhatTookLongerThanItCostIsOwed) {
  FairOrder order;
  PushMany(order, 10, Entry("a"));
  PushMany(order, 10, Entry("b"));
  EXPECT_EQ(order.PopNext().tenant, "a");
  order.Charge("a", JobPriority::kInteractive, 3, 1);  // it took four seconds
  EXPECT_THAT(Served(order, 7), ElementsAre("b", "b", "b", "b", "a", "b", "a"));
}

TEST(FairOrderTest, ADebtIsKeptByWhoHasNothingWaitingWhileOthersWait) {
  FairOrder order;
  PushMany(order, 1, Entry("a"));
  PushMany(order, 10, Entry("b"));
  EXPECT_EQ(order.PopNext().tenant, "a");
  order.Charge("a", JobPriority::kInteractive, 3, 1);
  PushMany(order, 2, Entry("a"));
  EXPECT_THAT(Served(order, 6), ElementsAre("b", "b", "b", "b", "a", "b"));
}

TEST(FairOrderTest, WhoWasAloneOwesNothing) {
  FairOrder order;
  PushMany(order, 3, Entry("a"));
  EXPECT_EQ(order.PopNext().tenant, "a");
  order.Charge("a", JobPriority::kInteractive, 500, 1);
  PushMany(order, 2, Entry("b"));
  EXPECT_THAT(Served(order), ElementsAre("a", "b", "a", "b"));
  order.PushBack(Entry("a", 1, kBatch), 1);
  EXPECT_THAT(Served(order), ElementsAre("a*")) << "and no class does";
}

TEST(FairOrderTest, AClassOwesToo) {
  FairOrder order;
  PushMany(order, 20, Entry("a"));
  PushMany(order, 3, Entry("a", 1, kBatch));
  order.PopNext();
  order.Charge("a", JobPriority::kInteractive, 15, 1);
  EXPECT_THAT(Served(order, 3), ElementsAre("a*", "a*", "a"))
      << "sixteen seconds were two batch jobs'";
}

TEST(FairOrderTest, ACopyForetellsTheOrder) {
  std::mt19937 random(11);
  FairOrder order;
  for (int i = 0; i < 200; ++i) {
    order.PushBack(Entry(absl::StrCat("t", random() % 5), 0.5 + random() % 9,
                         random() % 2 == 0 ? kBatch : JobPriority::kInteractive),
                   1 + random() % 3);
  }
  FairOrder copy = order;
  EXPECT_EQ(Served(copy), Served(order));
  EXPECT_TRUE(order.empty());
}

}  // namespace
}  // namespace antidiffusion
