#include "server/job_call.h"

#include <gtest/gtest.h>

namespace antidiffusion {
namespace {

TEST(JobCallTest, TheSlackOfADeadlineIsBounded) {
  EXPECT_EQ(JobCall::DeadlineSlack(absl::ZeroDuration()), absl::Milliseconds(100));
  EXPECT_EQ(JobCall::DeadlineSlack(absl::Seconds(10)), absl::Milliseconds(200));
  EXPECT_EQ(JobCall::DeadlineSlack(absl::Hours(1)), absl::Seconds(2));
}

}  // namespace
}  // namespace antidiffusion
