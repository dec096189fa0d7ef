#include "client/retry_policy.h"

#include <gtest/gtest.h>

#include "core/base/status_details.h"

namespace antidiffusion {
namespace {

CallError Refused() { return {absl::UnavailableError("connection refused"), std::nullopt, false}; }

CallError Loading() {
  return {WithReason(absl::UnavailableError("loading"), {"MODEL_LOADING", {}}), std::nullopt,
          false};
}

CallError QueueFull(std::optional<absl::Duration> after) {
  return {WithReason(absl::ResourceExhaustedError("queue full"), {"QUEUE_FULL", {}}), after, false};
}

RetryPolicy PolicyWithDraw(double draw) {
  return RetryPolicy(RetryOptions(), [draw] { return draw; });
}

int AttemptsUntilGivingUp(RetryPolicy policy, const CallError& error) {
  int attempts = 1;
  while (policy.NextDelay(error).has_value()) ++attempts;
  return attempts;
}

TEST(RetryPolicyTest, BacksOffExponentiallyUpToTheLimit) {
  RetryPolicy policy = PolicyWithDraw(0.5);  // the middle of the jitter: none
  EXPECT_EQ(policy.NextDelay(Loading()), absl::Milliseconds(500));
  EXPECT_EQ(policy.NextDelay(Loading()), absl::Seconds(1));
  EXPECT_EQ(policy.NextDelay(Loading()), absl::Seconds(2));
  for (int i = 0; i < 3; ++i) policy.NextDelay(Loading());
  EXPECT_EQ(policy.NextDelay(Loading()), absl::Seconds(30));
}

TEST(RetryPolicyTest, JitterSpreadsOwnDelaysBothWays) {
  EXPECT_EQ(PolicyWithDraw(0).NextDelay(Loading()), absl::Milliseconds(400));
  EXPECT_EQ(PolicyWithDraw(0.75).NextDelay(Loading()), absl::Milliseconds(550));
}

TEST(RetryPolicyTest, TheServersDelayIsALowerBound) {
  EXPECT_EQ(PolicyWithDraw(0).NextDelay(QueueFull(absl::Seconds(7))), absl::Seconds(7));
  EXPECT_EQ(PolicyWithDraw(0.5).NextDelay(QueueFull(absl::Seconds(10))), absl::Seconds(11));
}

TEST(RetryPolicyTest, AttemptsAreBounded) {
  EXPECT_EQ(AttemptsUntilGivingUp(PolicyWithDraw(0.5), Loading()), 10);
  EXPECT_EQ(AttemptsUntilGivingUp(PolicyWithDraw(0.5), QueueFull(absl::Seconds(1))), 10);
}

TEST(RetryPolicyTest, AServerThatIsNotThereIsTriedLessOften) {
  EXPECT_EQ(AttemptsUntilGivingUp(PolicyWithDraw(0.5), Refused()), 4);
}

TEST(RetryPolicyTest, ExhaustedWithoutADelayIsFinal) {
  EXPECT_EQ(PolicyWithDraw(0.5).NextDelay(QueueFull(std::nullopt)), std::nullopt);
}

TEST(RetryPolicyTest, ANegativePushbackIsFinal) {
  CallError error = QueueFull(absl::Seconds(1));
  error.retry_forbidden = true;
  EXPECT_EQ(PolicyWithDraw(0.5).NextDelay(error), std::nullopt);
  error = Loading();
  error.retry_forbidden = true;
  EXPECT_EQ(PolicyWithDraw(0.5).NextDelay(error), std::nullopt);
}

TEST(RetryPolicyTest, APatienceTooLongIsNotHad) {
  EXPECT_EQ(PolicyWithDraw(0.5).NextDelay(QueueFull(absl::Minutes(6))), std::nullopt);
}

TEST(RetryPolicyTest, OtherErrorsAreFinal) {
  for (const absl::Status& status :
       {absl::InvalidArgumentError(""), absl::InternalError(""), absl::DeadlineExceededError(""),
        absl::NotFoundError(""), absl::CancelledError(""), absl::AbortedError("")}) {
    EXPECT_EQ(PolicyWithDraw(0.5).NextDelay({status, absl::Seconds(1), false}), std::nullopt)
        << status;
  }
}

}  // namespace
}  // namespace antidiffusion
