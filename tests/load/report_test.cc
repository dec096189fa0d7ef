#include "tests/load/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

namespace antidiffusion {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// One of each outcome.
Report Mixed() {
  Report report({"acme", "other"});
  for (const Outcome outcome : {Outcome::kSucceeded, Outcome::kFailed, Outcome::kCancelled,
                                Outcome::kExpired, Outcome::kRefused, Outcome::kAbandoned}) {
    Ending ending;
    ending.outcome = outcome;
    ending.code = "INTERNAL X";
    if (outcome == Outcome::kSucceeded) ending.total = absl::Seconds(2);
    report.Add(ending);
  }
  return report;
}

TEST(LatenciesTest, PercentilesAreValuesThatOccurred) {
  Latencies latencies;
  EXPECT_EQ(latencies.Percentile(50), 0);
  for (int i = 100; i >= 1; --i) latencies.Add(absl::Seconds(i));
  latencies.Add(std::nullopt);
  EXPECT_EQ(latencies.count(), 100U);
  EXPECT_EQ(latencies.Percentile(50), 50);
  EXPECT_EQ(latencies.Percentile(99), 99);
  EXPECT_EQ(latencies.Percentile(100), 100);
}

TEST(ReportTest, TheInvariantHoldsWhenEveryAcceptedOneEnded) {
  const Report report = Mixed();
  EXPECT_EQ(report.arrivals(), 6);
  EXPECT_EQ(report.accepted(), 4);
  EXPECT_THAT(report.Violations(), IsEmpty());
  std::ostringstream out;
  report.Write(out);
  EXPECT_THAT(out.str(), HasSubstr("accepted 4 = succeeded 1 + failed 1 + cancelled 1 + expired 1\n"
                                   "the invariant holds\n"));
}

TEST(ReportTest, AJobThatNeverEndedViolatesIt) {
  Report report = Mixed();
  report.Add({.outcome = Outcome::kLost});
  EXPECT_THAT(report.Violations(), ElementsAre("1 were accepted and never ended"));
}

TEST(ReportTest, EventsOutOfOrderViolateIt) {
  Report report = Mixed();
  report.Add({.outcome = Outcome::kSucceeded, .disorder = true});
  EXPECT_THAT(report.Violations(), ElementsAre(HasSubstr("out of order")));
}

TEST(ReportTest, NothingAcceptedViolatesIt) {
  EXPECT_THAT(Report({""}).Violations(), ElementsAre("nothing was accepted"));
}

TEST(ReportTest, AnAbandonedOneMayHaveBeenAcceptedByTheServer) {
  Report report = Mixed();
  report.SetServer({.accepted = 5, .succeeded = 1, .failed = 1, .cancelled = 2, .expired = 1});
  EXPECT_THAT(report.Violations(), IsEmpty());
}

TEST(ReportTest, TheServersCountersMustAddUpAndFit) {
  Report report = Mixed();
  report.SetServer({.accepted = 9, .succeeded = 0, .failed = 1, .cancelled = 2, .running = 1});
  EXPECT_THAT(report.Violations(),
              ElementsAre(HasSubstr("do not add up: accepted 9, restored 0, ended 3"),
                          HasSubstr("0 waiting and 1 running"), HasSubstr("seen here: 4, and 1"),
                          HasSubstr("counts 0 successes")));
}

TEST(ReportTest, JsonHoldsEverything) {
  Report report = Mixed();
  report.AddUnsent();
  std::ostringstream out;
  report.WriteJson(out);
  const auto object = nlohmann::json::parse(out.str());
  EXPECT_EQ(object["accepted"], 4);
  EXPECT_EQ(object["refused"], 1);
  EXPECT_EQ(object["unsent"], 1);
  EXPECT_EQ(object["failures"]["INTERNAL X"], 1);
  EXPECT_EQ(object["latency"]["total"]["p99"], 2);
  EXPECT_EQ(object["tenants"]["acme"]["total"]["count"], 1);
  EXPECT_EQ(object["tenants"]["other"]["total"]["count"], 0);
  EXPECT_TRUE(object["violations"].empty());
}

}  // namespace
}  // namespace antidiffusion
