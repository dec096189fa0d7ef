#include "tests/load/server_counters.h"

#include <gtest/gtest.h>

#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

constexpr char kMetrics[] = R"(# HELP antidiffusion_jobs_total Jobs
# TYPE antidiffusion_jobs_total counter
antidiffusion_jobs_total{model="a",outcome="accepted",reason=""} 12
antidiffusion_jobs_total{model="b",outcome="accepted",reason=""} 3
antidiffusion_jobs_total{model="a",outcome="succeeded",reason=""} 6
antidiffusion_jobs_total{model="a",outcome="failed",reason="X"} 1
antidiffusion_jobs_total{model="a",outcome="cancelled",reason="CANCELLED"} 2
antidiffusion_jobs_total{model="b",outcome="expired",reason="DEADLINE_PASSED"} 1
antidiffusion_queue_depth{class="interactive"} 2
antidiffusion_queue_depth{class="batch"} 1
antidiffusion_jobs_running{device="cpu"} 1
antidiffusion_jobs_running{device="cpu-1"} 1
antidiffusion_queue_capacity 64
)";

TEST(ServerCountersTest, SumsOverLabels) {
  AD_ASSERT_OK_AND_ASSIGN(const ServerCounters counters, ParseServerCounters(kMetrics));
  EXPECT_EQ(counters.accepted, 15);
  EXPECT_EQ(counters.succeeded, 6);
  EXPECT_EQ(counters.failed, 1);
  EXPECT_EQ(counters.cancelled, 2);
  EXPECT_EQ(counters.expired, 1);
  EXPECT_EQ(counters.waiting, 3);
  EXPECT_EQ(counters.running, 2);
  EXPECT_EQ(counters.ended(), 10);
}

TEST(ServerCountersTest, TellsWhatHappenedMeanwhile) {
  AD_ASSERT_OK_AND_ASSIGN(const ServerCounters counters, ParseServerCounters(kMetrics));
  const ServerCounters none = Difference(counters, counters);
  EXPECT_EQ(none.accepted + none.ended() + none.waiting + none.running, 0);
  EXPECT_EQ(Difference(counters, {}).accepted, 15);
}

TEST(ServerCountersTest, AnotherPageIsAnError) {
  EXPECT_THAT(ParseServerCounters("<html>"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(FetchServerCounters("http://127.0.0.1:1/metrics"),
              StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace antidiffusion
