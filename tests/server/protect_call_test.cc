#include "server/protect_call.h"

#include <gtest/gtest.h>

namespace antidiffusion {
namespace {

TEST(ProtectCallTest, ALargeMessageMayTakeLonger) {
  EXPECT_EQ(ProtectCall::WriteLimit(0), absl::Seconds(30));
  EXPECT_EQ(ProtectCall::WriteLimit(256 * 1024), absl::Seconds(31));
  EXPECT_EQ(ProtectCall::WriteLimit(size_t{64} << 20), absl::Seconds(30 + 256));
}

TEST(ProtectCallTest, TheSlackOfADeadlineIsBounded) {
  EXPECT_EQ(ProtectCall::DeadlineSlack(absl::ZeroDuration()), absl::Milliseconds(100));
  EXPECT_EQ(ProtectCall::DeadlineSlack(absl::Seconds(10)), absl::Milliseconds(200));
  EXPECT_EQ(ProtectCall::DeadlineSlack(absl::Hours(1)), absl::Seconds(2));
}

}  // namespace
}  // namespace antidiffusion
