#include "server/job_call.h"

#include <gtest/gtest.h>

namespace antidiffusion {
namespace {

TEST(JobCallTest, ALargeMessageMayTakeLonger) {
  EXPECT_EQ(JobCall::WriteLimit(0), absl::Seconds(30));
  EXPECT_EQ(JobCall::WriteLimit(size_t{256} * 1024), absl::Seconds(31));
  EXPECT_EQ(JobCall::WriteLimit(size_t{64} << 20), absl::Seconds(30 + 256));
}

TEST(JobCallTest, TheSlackOfADeadlineIsBounded) {
  EXPECT_EQ(JobCall::DeadlineSlack(absl::ZeroDuration()), absl::Milliseconds(100));
  EXPECT_EQ(JobCall::DeadlineSlack(absl::Seconds(10)), absl::Milliseconds(200));
  EXPECT_EQ(JobCall::DeadlineSlack(absl::Hours(1)), absl::Seconds(2));
}

}  // namespace
}  // namespace antidiffusion
