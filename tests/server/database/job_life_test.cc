// What becomes of a job, on every database: accepted, claimed, renewed, ended; lost, cancelled,
// expired, forgotten.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/server/database/database_engines.h"
#include "tests/server/database/jobs_of_tests.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

using ::testing::ElementsAre;
using Kind = AcceptAnswer::Kind;

using JobLifeTest = JobDatabaseTest;

TEST_P(JobLifeTest, FromAcceptanceToItsResult) {
  NewJob job = JobOf("anna", "a");
  job.request = std::string("\0\xff binary", 9);
  job.request_id = "id";
  job.trace = "trace";
  job.time_left = absl::Hours(1);
  job.kept_for = absl::Hours(2);
  job.image_bytes = 7;
  EXPECT_EQ(Accept(job), Kind::kAccepted);
  EXPECT_EQ(Accept(job), Kind::kAccepted) << "the same once more, as after an answer that was lost";
  EXPECT_EQ(Figures().queued, 1);
  EXPECT_EQ(Figures().queued_bytes, 7);
  const StoredJobRow waiting = Get("a");
  EXPECT_EQ(waiting.phase, JobPhase::kQueued);
  EXPECT_EQ(waiting.request, job.request);
  EXPECT_EQ(waiting.started, absl::InfinitePast());
  EXPECT_EQ(waiting.deadline, waiting.created + absl::Hours(1));

  const std::optional<ClaimedJob> claimed = Claim();
  ASSERT_TRUE(claimed.has_value());
  EXPECT_EQ(claimed->name, "a");
  EXPECT_EQ(claimed->request, job.request);
  EXPECT_EQ(claimed->trace, "trace");
  EXPECT_EQ(claimed->attempt, 1);
  EXPECT_EQ(claimed->losses, 0);
  EXPECT_FALSE(Claim().has_value());
  EXPECT_EQ(Figures().queued, 0);
  EXPECT_EQ(Figures().queued_bytes, 0);
  EXPECT_EQ(Figures().running, 1);

  const int64_t sequence = Get("a").sequence;
  EXPECT_EQ(jobs_->Renew("a", 1, kLease, "half").value().lease, Lease::kHeld);
  EXPECT_EQ(Get("a").progress, "half");
  EXPECT_GT(Get("a").sequence, sequence);

  EXPECT_TRUE(jobs_->Finish("a", 1, Success(std::string("re\0sult", 7), 5)).value());
  const StoredJobRow done = Get("a");
  EXPECT_EQ(done.phase, JobPhase::kSucceeded);
  EXPECT_EQ(done.result, std::string("re\0sult", 7));
  EXPECT_EQ(done.result_bytes, 5);
  EXPECT_EQ(done.expires, done.ended + absl::Hours(2));
  EXPECT_GE(done.ended, done.started);
  EXPECT_EQ(Figures().running, 0);
  EXPECT_FALSE(jobs_->Finish("a", 1, Success("again")).value());
  EXPECT_EQ(Get("a").result, done.result) << "the first end counts";
}

TEST_P(JobLifeTest, AnAttemptThatWasLostWritesNothing) {
  Accept(JobOf("anna", "a"));
  ASSERT_TRUE(Claim("slow").has_value());
  Advance(kLease + absl::Seconds(1));
  EXPECT_EQ(Reap().requeued, 1);
  EXPECT_EQ(jobs_->Renew("a", 1, kLease, "late").value().lease, Lease::kLost);
  const std::optional<ClaimedJob> second = Claim("other");
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->attempt, 2);
  EXPECT_EQ(second->losses, 1);
  EXPECT_FALSE(jobs_->Finish("a", 1, Success("of the lost one")).value());
  EXPECT_FALSE(jobs_->Release("a", 1).value());
  EXPECT_EQ(Get("a").phase, JobPhase::kRunning);
  EXPECT_TRUE(jobs_->Finish("a", 2, Success("of the other")).value());
  EXPECT_EQ(Get("a").result, "of the other");
}

TEST_P(JobLifeTest, ARenewedLeaseHoldsAndOneThatRunsOutTwiceFailsTheJob) {
  Accept(JobOf("anna", "a"));
  Claim();
  Advance(kLease - absl::Seconds(1));
  EXPECT_EQ(jobs_->Renew("a", 1, kLease, "").value().lease, Lease::kHeld);
  Advance(kLease - absl::Seconds(1));
  EXPECT_EQ(Reap().requeued, 0);
  Advance(absl::Seconds(2));
  EXPECT_EQ(Reap().requeued, 1);
  ASSERT_TRUE(Claim().has_value());
  Advance(kLease + absl::Seconds(1));
  const Reaped second = Reap();
  EXPECT_EQ(second.requeued, 0);
  EXPECT_EQ(second.lost, 1);
  ASSERT_EQ(second.ended.size(), 1u);
  EXPECT_EQ(second.ended[0].name, "a");
  EXPECT_EQ(second.ended[0].phase, JobPhase::kFailed);
  EXPECT_EQ(Get("a").phase, JobPhase::kFailed);
  EXPECT_EQ(Get("a").error, "lost twice");
  EXPECT_EQ(Figures().running, 0);
}

TEST_P(JobLifeTest, AReleasedJobWaitsInItsOldPlaceAndIsNotCounted) {
  Accept(JobOf("anna", "a"));
  Accept(JobOf("anna", "b"));
  ASSERT_EQ(Claim()->name, "a");
  EXPECT_TRUE(jobs_->Release("a", 1).value());
  const std::optional<ClaimedJob> again = Claim();
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->name, "a");
  EXPECT_EQ(again->losses, 0);
  EXPECT_EQ(again->attempt, 2) << "a fence for every attempt";
}

TEST_P(JobLifeTest, ALossThatItsWorkerTellsOfIsCounted) {
  Accept(JobOf("anna", "a"));
  Claim();
  EXPECT_TRUE(jobs_->Release("a", 1, /*lost=*/true).value());
  const std::optional<ClaimedJob> second = Claim();
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->losses, 1);
  EXPECT_EQ(second->attempts, 2);
  EXPECT_TRUE(jobs_->Release("a", 2).value());
  EXPECT_EQ(Claim()->attempts, 2) << "a release does not count";
  Advance(kLease + absl::Seconds(1));
  EXPECT_EQ(Reap().lost, 1);
}

// Readers go on from what they know, in whatever process.
TEST_P(JobLifeTest, NumbersOfALaterPhaseAreAboveAllOfAnEarlierOne) {
  Accept(JobOf("anna", "a"));
  EXPECT_EQ(Get("a").sequence, 1);
  EXPECT_EQ(Claim()->sequence, kSequenceSpan);
  EXPECT_THAT(jobs_->Renew("a", 1, kLease, "", kSequenceSpan + 70), IsOk());
  EXPECT_EQ(Get("a").sequence, kSequenceSpan + 70);
  EXPECT_THAT(jobs_->Renew("a", 1, kLease, "", 3), IsOk());
  EXPECT_EQ(Get("a").sequence, kSequenceSpan + 71);
  EXPECT_TRUE(jobs_->Release("a", 1).value());
  EXPECT_EQ(Get("a").sequence, 2 * kSequenceSpan);
  EXPECT_EQ(Claim()->sequence, 3 * kSequenceSpan);
  EXPECT_TRUE(jobs_->Finish("a", 2, Success("r")).value());
  EXPECT_EQ(Get("a").sequence, 4 * kSequenceSpan);
}

TEST_P(JobLifeTest, WhatNobodyWantsAnyMoreIsCancelled) {
  for (const char* name : {"waits", "runs", "wanted"}) {
    NewJob job = JobOf("anna", name);
    job.holder = "process 1";
    job.wanted_for = absl::Minutes(1);
    Accept(job);
  }
  const auto runs = jobs_->Claim("w", {"alpha"}, absl::Hours(1)).value();
  ASSERT_EQ(runs->name, "waits");  // the first
  Advance(absl::Seconds(50));
  EXPECT_THAT(jobs_->Want({"wanted", "none"}, "process 1", absl::Minutes(1)), IsOk());
  Advance(absl::Seconds(20));
  const Reaped reaped = Reap();
  EXPECT_EQ(reaped.abandoned, 2);
  ASSERT_EQ(reaped.ended.size(), 1u);
  EXPECT_EQ(reaped.ended[0].name, "runs");
  EXPECT_EQ(Get("runs").phase, JobPhase::kCancelled);
  EXPECT_EQ(Get("runs").error, "nobody waits");
  EXPECT_EQ(Get("wanted").phase, JobPhase::kQueued);
  EXPECT_EQ(jobs_->Renew("waits", 1, kLease, "").value().lease, Lease::kCancelled);
  EXPECT_EQ(Reap().abandoned, 0);
  EXPECT_TRUE(jobs_->Abandon("wanted", "process 1", 0, "why", "error").value());
  EXPECT_FALSE(jobs_->Abandon("none", "process 1", 0, "why", "error").value());
}

TEST_P(JobLifeTest, AServersEndTakesWhatWaitsWithIt) {
  NewJob bound = JobOf("anna", "bound");
  bound.holder = "process 1";
  Accept(bound);
  Accept(JobOf("anna", "kept"));
  ASSERT_EQ(jobs_->CountOpen().value().size(), 1u);
  EXPECT_EQ(jobs_->CountOpen().value()[0].count, 2);
  EXPECT_EQ(jobs_->CancelWaiting("process 1", "gone").value().size(), 1u);
  EXPECT_EQ(Get("bound").error, "gone");
  EXPECT_EQ(jobs_->CancelWaiting("", "gone").value().size(), 1u);
  EXPECT_EQ(Figures().queued, 0);
}

// A process that has the database to itself waits for nobody who was there before.
TEST_P(JobLifeTest, ATakeoverWaitsForNoLease) {
  Accept(JobOf("anna", "a"));
  Claim();
  NewJob bound = JobOf("anna", "bound");
  bound.holder = "process 1";
  Accept(bound);
  EXPECT_THAT(jobs_->TakeOver(), IsOk());
  const Reaped reaped = Reap();
  EXPECT_EQ(reaped.requeued, 1);
  EXPECT_EQ(reaped.abandoned, 1);
  EXPECT_EQ(Claim()->name, "a");
}

TEST_P(JobLifeTest, CancelEndsWhatWaitsAndTellsWhoRuns) {
  Accept(JobOf("anna", "waits"));
  Accept(JobOf("anna", "runs"));
  EXPECT_THAT(jobs_->Cancel("anna", "waits", "why", "error"), IsOk());
  EXPECT_EQ(Get("waits").phase, JobPhase::kCancelled);
  EXPECT_EQ(Get("waits").error, "error");
  ASSERT_EQ(Claim()->name, "runs");
  EXPECT_THAT(jobs_->Cancel("anna", "runs", "why", "error"), IsOk());
  EXPECT_THAT(jobs_->Cancel("anna", "runs", "another", "other"), IsOk());
  EXPECT_EQ(Get("runs").phase, JobPhase::kRunning);
  const LeaseAnswer told = jobs_->Renew("runs", 1, kLease, "").value();
  EXPECT_EQ(told.lease, Lease::kCancelled);
  EXPECT_EQ(told.why, "why") << "the first counts";
  std::vector<EndedJob> ended;
  EXPECT_TRUE(jobs_->Release("runs", 1, /*lost=*/false, &ended).value());
  ASSERT_EQ(ended.size(), 1u) << "for accounts";
  EXPECT_EQ(ended[0].name, "runs");
  EXPECT_EQ(ended[0].error, "error");
  EXPECT_EQ(Get("runs").phase, JobPhase::kCancelled) << "it does not wait again";
  EXPECT_EQ(Get("runs").error, "error");
  EXPECT_THAT(jobs_->Cancel("anna", "runs", "", ""), IsOk()) << "it has ended";
  EXPECT_THAT(jobs_->Cancel("anna", "none", "", ""), StatusIs(kNotFound));
  EXPECT_THAT(jobs_->Cancel("berta", "runs", "", ""), StatusIs(kNotFound));
  EXPECT_EQ(Figures().queued + Figures().running, 0);
}

TEST_P(JobLifeTest, WhatRunsIsToldThatItsOnlyProcessLeft) {
  NewJob bound = JobOf("anna", "a");
  bound.holder = "process 1";
  Accept(bound);
  Claim();
  EXPECT_FALSE(jobs_->Abandon("a", "process 2", 0, "why", "error").value());
  EXPECT_EQ(jobs_->Renew("a", 1, kLease, "").value().lease, Lease::kHeld);
  EXPECT_FALSE(jobs_->Abandon("a", "process 1", 0, "why", "error").value()) << "it runs";
  const LeaseAnswer told = jobs_->Renew("a", 1, kLease, "").value();
  EXPECT_EQ(told.lease, Lease::kCancelled);
  EXPECT_EQ(told.error, "error");
  EXPECT_TRUE(jobs_->Finish("a", 1, Success("r")).value());
  EXPECT_FALSE(jobs_->Abandon("a", "process 1", 0, "why", "error").value());
}

TEST_P(JobLifeTest, AProcessDeletesWhatItAloneWanted) {
  NewJob bound = JobOf("anna", "a");
  bound.holder = "process 1";
  Succeed(bound, Success("r"));
  EXPECT_THAT(jobs_->Delete("anna", "a", "process 2"), IsOk());
  EXPECT_EQ(Get("a").phase, JobPhase::kSucceeded);
  EXPECT_THAT(jobs_->Delete("anna", "a", "process 1"), IsOk());
  EXPECT_THAT(jobs_->Get("anna", "a"), StatusIs(kNotFound));
}

TEST_P(JobLifeTest, ACancelledJobWhoseWorkerIsLostEnds) {
  Accept(JobOf("anna", "a"));
  Claim();
  EXPECT_THAT(jobs_->Cancel("anna", "a", "why", "error"), IsOk());
  Advance(kLease + absl::Seconds(1));
  Reap();
  EXPECT_EQ(Get("a").phase, JobPhase::kCancelled);
}

TEST_P(JobLifeTest, WhatWaitsPastItsDeadlineExpiresAndWhatEndedLongAgoGoes) {
  NewJob hurried = JobOf("anna", "hurried");
  hurried.time_left = absl::Minutes(1);
  hurried.kept_for = absl::Hours(1);
  Accept(hurried);
  Accept(JobOf("anna", "patient"));
  Advance(absl::Minutes(2));
  EXPECT_EQ(Reap().expired, 1);
  EXPECT_EQ(Get("hurried").phase, JobPhase::kExpired);
  EXPECT_EQ(Get("hurried").error, "too late");
  EXPECT_EQ(Get("patient").phase, JobPhase::kQueued);
  EXPECT_EQ(Figures().queued, 1);
  Advance(absl::Hours(2));
  EXPECT_EQ(Reap().forgotten, 1);
  EXPECT_THAT(jobs_->Get("anna", "hurried"), StatusIs(kNotFound));
}

TEST_P(JobLifeTest, OnlyWhatHasEndedCanBeDeletedAndOnlyByItsOwner) {
  Accept(JobOf("anna", "a"));
  EXPECT_THAT(jobs_->Delete("anna", "a"), StatusIs(kFailedPrecondition));
  Claim();
  EXPECT_THAT(jobs_->Delete("anna", "a"), StatusIs(kFailedPrecondition));
  EXPECT_TRUE(jobs_->Finish("a", 1, Success("r")).value());
  EXPECT_THAT(jobs_->Delete("berta", "a"), StatusIs(kNotFound));
  EXPECT_THAT(jobs_->Get("berta", "a"), StatusIs(kNotFound));
  EXPECT_THAT(jobs_->Delete("anna", "a"), IsOk());
  EXPECT_THAT(jobs_->Delete("anna", "a"), StatusIs(kNotFound));
}

TEST_P(JobLifeTest, ListsTheNewestFirstPageByPage) {
  for (const char* name : {"a", "b", "c", "d", "e"}) Accept(JobOf("anna", name));
  Accept(JobOf("berta", "hers"));
  ASSERT_EQ(jobs_->Claim("w", {"alpha"}, kLease).value()->name, "a");
  const auto names = [](const JobPage& page) {
    std::vector<std::string> found;
    for (const StoredJobRow& job : page.jobs) found.push_back(job.name);
    return found;
  };
  const JobPage first = jobs_->List("anna", std::nullopt, 2, 0).value();
  EXPECT_THAT(names(first), ElementsAre("e", "d"));
  const JobPage second = jobs_->List("anna", std::nullopt, 2, first.next).value();
  EXPECT_THAT(names(second), ElementsAre("c", "b"));
  const JobPage third = jobs_->List("anna", std::nullopt, 2, second.next).value();
  EXPECT_THAT(names(third), ElementsAre("a"));
  EXPECT_EQ(third.next, 0);
  EXPECT_THAT(names(jobs_->List("anna", JobPhase::kRunning, 9, 0).value()), ElementsAre("a"));
  EXPECT_THAT(names(jobs_->List("anna", JobPhase::kQueued, 9, 0).value()),
              ElementsAre("e", "d", "c", "b"));
}

INSTANTIATE_TEST_SUITE_P(Engines, JobLifeTest, Engines(), EngineName);

}  // namespace
}  // namespace antidiffusion
