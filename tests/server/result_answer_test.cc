// What gRPC and the tick may do to a GetJob with its result, in every order. Without gRPC: nothing
// here touches a context, which a test would see as a crash.
#include "server/result_answer.h"

#include <gtest/gtest.h>

#include <memory>

#include "absl/time/clock.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

class ResultAnswerTest : public ::testing::Test {
 protected:
  std::shared_ptr<ResultAnswer> MakeAnswer() {
    auto answer = std::make_shared<ResultAnswer>(nullptr, calls_, [this] { return now_; });
    calls_.Add(answer);
    return answer;
  }
  void Begin(ResultAnswer& answer, int64_t bytes = 60) {
    answer.Begin(
        bytes, [this] { ++sent_; }, [this](const absl::Status& why) { refused_ = why; });
  }

  const absl::Time now_ = absl::Now();
  ReaderCalls calls_{100};
  int sent_ = 0;
  absl::Status refused_;
};

TEST_F(ResultAnswerTest, IsSentOnceAlthoughATickComesBeforeItBegins) {
  const auto answer = MakeAnswer();
  calls_.Tick(now_);
  EXPECT_EQ(sent_, 0);
  EXPECT_EQ(calls_.unread_bytes(), 0);
  Begin(*answer);
  calls_.Tick(now_);
  EXPECT_EQ(sent_, 1);
  EXPECT_EQ(calls_.unread_bytes(), 60);
  answer->OnDone();
  EXPECT_EQ(calls_.unread_bytes(), 0);
}

TEST_F(ResultAnswerTest, WaitsInLineForTheTickAfterTheOneBeforeItIsDone) {
  const auto first = MakeAnswer();
  const auto second = MakeAnswer();
  Begin(*first);
  Begin(*second);
  calls_.Tick(now_);
  EXPECT_EQ(sent_, 1);
  first->OnDone();
  EXPECT_EQ(sent_, 1);
  calls_.Tick(now_);
  EXPECT_EQ(sent_, 2);
  second->OnDone();
}

TEST_F(ResultAnswerTest, IsRefusedWhereTheLineIsFull) {
  const auto first = MakeAnswer();
  const auto second = MakeAnswer();
  const auto third = MakeAnswer();
  Begin(*first);
  Begin(*second);
  Begin(*third);
  EXPECT_THAT(refused_, StatusIs(absl::StatusCode::kResourceExhausted, "slow readers"));
  EXPECT_EQ(sent_, 1);
  for (const auto& answer : {first, second, third}) answer->OnDone();
  EXPECT_EQ(calls_.unread_bytes(), 0);
}

TEST_F(ResultAnswerTest, ACallerThatGivesUpInLineIsNotSentAnything) {
  const auto first = MakeAnswer();
  const auto second = MakeAnswer();
  Begin(*first, 100);
  Begin(*second);
  second->OnCancel();
  EXPECT_THAT(refused_, StatusIs(absl::StatusCode::kCancelled));
  second->OnDone();
  first->OnDone();
  calls_.Tick(now_);
  EXPECT_EQ(sent_, 1);
}

TEST_F(ResultAnswerTest, ACallerThatGivesUpBeforeItBeginsIsToldSoThen) {
  const auto answer = MakeAnswer();
  answer->OnCancel();
  EXPECT_THAT(refused_, IsOk());
  Begin(*answer);
  EXPECT_THAT(refused_, StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(sent_, 0);
  answer->OnDone();
}

TEST_F(ResultAnswerTest, ATickAfterItsEndLeavesItAlone) {
  const auto answer = MakeAnswer();
  Begin(*answer);
  EXPECT_FALSE(calls_.WaitIdle(absl::ZeroDuration()));
  answer->OnDone();
  answer->Tick(now_ + absl::Hours(1));
  EXPECT_TRUE(calls_.WaitIdle(absl::ZeroDuration()));
}

}  // namespace
}  // namespace antidiffusion
