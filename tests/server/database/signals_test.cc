// What is told of jobs that change, on every database.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "server/database/postgres_listener.h"
#include "tests/server/database/database_engines.h"
#include "tests/server/database/jobs_of_tests.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// What has been heard, as "JOB PHASE".
class Ear {
 public:
  explicit Ear(JobSignals& signals)
      : signals_(signals), id_(signals.Subscribe([this](const JobSignal& signal) {
          const MutexLock lock(mutex_);
          heard_.push_back(signal);
          news_.NotifyAll();
        })) {}
  ~Ear() { signals_.Unsubscribe(id_); }
  Ear(const Ear&) = delete;
  Ear& operator=(const Ear&) = delete;

  std::vector<std::string> heard() {
    const MutexLock lock(mutex_);
    std::vector<std::string> words;
    for (const JobSignal& signal : heard_) {
      words.push_back(signal.job + " " + std::to_string(static_cast<int>(signal.phase)));
    }
    heard_.clear();
    return words;
  }

  // Waits until one of this kind has come; forgets it and those before it.
  void WaitFor(const std::string& job, JobPhase phase) {
    MutexLock lock(mutex_);
    while (true) {
      while (heard_.empty()) news_.Wait(lock);
      const JobSignal first = heard_.front();
      heard_.erase(heard_.begin());
      if (first.job == job && first.phase == phase) return;
    }
  }

 private:
  JobSignals& signals_;
  Mutex mutex_;
  CondVar news_;
  std::vector<JobSignal> heard_ ABSL_GUARDED_BY(mutex_);
  const int id_;
};

using SignalsTest = JobDatabaseTest;

TEST_P(SignalsTest, EachChangeIsToldOnceItIsCommitted) {
  Ear ear(jobs_->signals());
  Accept(JobOf("anna", "a"));
  EXPECT_THAT(ear.heard(), ElementsAre("a 0"));
  Claim();
  EXPECT_THAT(ear.heard(), ElementsAre("a 1"));
  EXPECT_THAT(jobs_->Renew("a", 1, kLease, "half"), IsOk());
  EXPECT_THAT(ear.heard(), ElementsAre("a 1"));
  EXPECT_THAT(jobs_->Release("a", 1), IsOk());
  EXPECT_THAT(ear.heard(), ElementsAre("a 0"));
  Claim();
  EXPECT_THAT(jobs_->Cancel("anna", "a", "why", "error"), IsOk());
  EXPECT_THAT(ear.heard(), ElementsAre("a 1", "a 4"));
  EXPECT_THAT(jobs_->Finish("a", 2, Success("r")), IsOk());
  EXPECT_THAT(ear.heard(), ElementsAre("a 2"));
  Accept(JobOf("anna", "b"));
  Claim();
  Advance(kLease + absl::Seconds(1));
  ear.heard();
  Reap();
  EXPECT_THAT(ear.heard(), ElementsAre("b 0"));
}

TEST_P(SignalsTest, WhatChangesNothingIsNotTold) {
  Accept(JobOf("anna", "a"));
  Ear ear(jobs_->signals());
  EXPECT_EQ(Accept(JobOf("anna", "b"), {}, {.max_queued = 1}), AcceptAnswer::Kind::kQueueFull);
  EXPECT_THAT(jobs_->Cancel("anna", "none", "", "").status(), StatusIs(kNotFound));
  EXPECT_FALSE(jobs_->Finish("a", 1, Success("r")).value());
  EXPECT_THAT(ear.heard(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Engines, SignalsTest, Engines(), EngineName);

using OthersSignalsTest = JobDatabaseTest;

TEST_P(OthersSignalsTest, AnotherProcessHearsWhatIsCommittedHere) {
  const std::unique_ptr<JobDatabase> other = Another();
  Ear ear(other->signals());
  const PostgresListener listener(connection(), other->signals());
  ear.WaitFor("", JobPhase::kQueued);  // from now on it listens
  Accept(JobOf("anna", "a"));
  ear.WaitFor("a", JobPhase::kQueued);
  Claim();
  ear.WaitFor("a", JobPhase::kRunning);
  EXPECT_THAT(jobs_->Finish("a", 1, Success("r")), IsOk());
  ear.WaitFor("a", JobPhase::kSucceeded);
}

TEST_P(OthersSignalsTest, AfterABreakItListensAgainAndSaysSo) {
  Ear ear(jobs_->signals());
  const PostgresListener listener(connection(), jobs_->signals());
  ear.WaitFor("", JobPhase::kQueued);
  postgres().Kill();
  ASSERT_THAT(postgres().Restart(), IsOk());
  ear.WaitFor("", JobPhase::kQueued);
  const std::unique_ptr<JobDatabase> other = Another();
  EXPECT_THAT(other->Accept(JobOf("anna", "a"), {}, {}), IsOk());
  ear.WaitFor("a", JobPhase::kQueued);
}

INSTANTIATE_TEST_SUITE_P(Engines, OthersSignalsTest, ::testing::Values("postgres"), EngineName);

TEST(JobSignalTest, TextsThatAreNoSignalsAreNone) {
  const JobSignal signal = {"a b", JobPhase::kFailed, 7};
  EXPECT_EQ(JobSignal::FromText(signal.ToText()), signal);
  for (const char* text : {"", "3", "9 1 a", "x 1 a", "1 x a"}) {
    EXPECT_FALSE(JobSignal::FromText(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace antidiffusion
