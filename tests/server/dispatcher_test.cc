#include "server/dispatcher.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "tests/server/job_parts.h"

namespace antidiffusion {
namespace {

constexpr absl::Duration kLong = absl::Minutes(10);  // never over

class DispatcherTest : public JobPartsTest {
 protected:
  std::unique_ptr<Dispatcher> Make(bool durable = false) {
    return std::make_unique<Dispatcher>(Dispatcher::Options{.process = "here", .durable = durable},
                                        Dispatcher::Surroundings{*database_, metrics_, *log_});
  }
  // The name of the next job, "" for none.
  static std::string Next(Dispatcher& dispatcher, absl::Duration timeout = kLong,
                          const std::vector<std::string>& models = {"alpha"}) {
    const auto claimed = dispatcher.Next(
        models, [] { return false; }, timeout);
    return claimed.has_value() ? claimed->name : "";
  }
};

TEST_F(DispatcherTest, GivesWhatWaitsAndNothingOfOtherModels) {
  const auto dispatcher = Make();
  Accept("a");
  EXPECT_EQ(Next(*dispatcher, absl::ZeroDuration(), {"beta"}), "");
  EXPECT_EQ(Next(*dispatcher), "a");
  EXPECT_EQ(Next(*dispatcher, absl::ZeroDuration()), "");
  EXPECT_EQ(database_->Get("anna", "a")->phase, JobPhase::kRunning);
}

TEST_F(DispatcherTest, OneThatWaitsIsWokenByAJob) {
  const auto dispatcher = Make();
  std::string claimed;
  {
    const std::jthread device([&] { claimed = Next(*dispatcher); });
    Accept("a");
  }
  EXPECT_EQ(claimed, "a");
}

TEST_F(DispatcherTest, OneThatWaitsIsInterrupted) {
  const auto dispatcher = Make();
  std::atomic<bool> interrupted = false;
  std::optional<ClaimedJob> claimed;
  {
    const std::jthread device([&] {
      claimed = dispatcher->Next(
          {"alpha"}, [&] { return interrupted.load(); }, kLong);
    });
    interrupted = true;
    dispatcher->Wake();
  }
  EXPECT_FALSE(claimed.has_value());
}

TEST_F(DispatcherTest, ClosedItGivesWhatEndsWithTheProcess) {
  const auto dispatcher = Make();
  Accept("a");
  dispatcher->Close();
  EXPECT_TRUE(dispatcher->closed());
  EXPECT_FALSE(dispatcher->finished());
  EXPECT_FALSE(dispatcher->WaitFinished(absl::ZeroDuration()));
  EXPECT_EQ(Next(*dispatcher), "a");
  EXPECT_TRUE(dispatcher->finished());
  EXPECT_EQ(Next(*dispatcher), "") << "all devices hear of the end";
  EXPECT_TRUE(dispatcher->WaitFinished(kLong));
}

TEST_F(DispatcherTest, GivenUpItIsFinishedWhateverWaits) {
  const auto dispatcher = Make();
  Accept("a");
  dispatcher->Close();
  dispatcher->GiveUp();
  EXPECT_TRUE(dispatcher->WaitFinished(kLong));
  EXPECT_EQ(Next(*dispatcher), "");
  EXPECT_EQ(database_->Get("anna", "a")->phase, JobPhase::kQueued);
}

TEST_F(DispatcherTest, ClosedItLeavesToOthersWhatOutlivesTheProcess) {
  const auto dispatcher = Make(/*durable=*/true);
  Accept("detached");
  NewJob bound = JobOf("anna", "bound");  // of a call here, without a request id
  bound.holder = "here";
  ASSERT_THAT(database_->Accept(bound, {}, {}).status(), IsOk());
  dispatcher->Close();
  EXPECT_EQ(Next(*dispatcher), "bound");
  EXPECT_EQ(Next(*dispatcher), "");
  EXPECT_TRUE(dispatcher->finished());
  EXPECT_EQ(database_->Get("anna", "detached")->phase, JobPhase::kQueued);
}

}  // namespace
}  // namespace antidiffusion
