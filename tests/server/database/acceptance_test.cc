// What Accept takes in, joins, answers and refuses, on every database; and what keeps bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/server/database/database_engines.h"
#include "tests/server/database/jobs_of_tests.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

using Kind = AcceptAnswer::Kind;
using AcceptanceTest = JobDatabaseTest;

NewJob WithId(NewJob job, const std::string& id, const std::string& hash) {
  job.request_id = id;
  job.request_hash = hash;
  return job;
}

TEST_P(AcceptanceTest, AnEqualRequestOfTheSameIdIsJoined) {
  EXPECT_EQ(Accept(WithId(JobOf("anna", "a"), "id", "h")), Kind::kAccepted);
  const AcceptAnswer joined = jobs_->Accept(WithId(JobOf("anna", "b"), "id", "h"), {}, {}).value();
  EXPECT_EQ(joined.kind, Kind::kJoined);
  EXPECT_EQ(joined.name, "a");
  const AcceptAnswer reused =
      jobs_->Accept(WithId(JobOf("anna", "c"), "id", "other"), {}, {}).value();
  EXPECT_EQ(reused.kind, Kind::kReused);
  EXPECT_EQ(reused.name, "a");
  EXPECT_EQ(Accept(WithId(JobOf("berta", "d"), "id", "h")), Kind::kAccepted) << "her own ids";
  EXPECT_EQ(Accept(JobOf("anna", "e")), Kind::kAccepted);
  EXPECT_EQ(Accept(JobOf("anna", "f")), Kind::kAccepted) << "no id is nobody's";
  EXPECT_EQ(Figures().queued, 4);
}

TEST_P(AcceptanceTest, ARequestIdIsFreeAfterADayAndAfterAnEndThatFreesIt) {
  Accept(WithId(JobOf("anna", "a"), "id", "h"));
  Advance(absl::Hours(23));
  EXPECT_EQ(Accept(WithId(JobOf("anna", "b"), "id", "h")), Kind::kJoined);
  Advance(absl::Hours(2));
  EXPECT_EQ(Accept(WithId(JobOf("anna", "c"), "id", "h")), Kind::kAccepted);
  EXPECT_THAT(jobs_->Cancel("anna", "c", "why", "error"), IsOk());
  EXPECT_EQ(Accept(WithId(JobOf("anna", "d"), "id", "h")), Kind::kJoined) << "who cancelled knows";
  Advance(absl::Hours(25));
  EXPECT_EQ(Accept(WithId(JobOf("anna", "e"), "id", "h")), Kind::kAccepted);
  EXPECT_THAT(jobs_->Cancel("anna", "e", "why", "error", /*frees_request_id=*/true), IsOk());
  EXPECT_EQ(Accept(WithId(JobOf("anna", "f"), "id", "other")), Kind::kAccepted);
  EXPECT_EQ(Get("e").request_id, "id") << "it had it";
}

TEST_P(AcceptanceTest, AKeptResultAnswersAndIsTheTenantsOwnFromThenOn) {
  NewJob first = JobOf("anna", "a");
  first.cache_key = "key";
  EXPECT_THAT(jobs_->PutBlob("digest", "picture"), IsOk());
  JobEnd end = Success("result", 7);
  end.result_digest = "digest";
  Succeed(first, end);
  NewJob second = JobOf("berta", "b");
  second.cache_key = "key";
  EXPECT_EQ(Accept(second), Kind::kAnswered);
  EXPECT_EQ(Get("b", "berta").phase, JobPhase::kSucceeded);
  EXPECT_EQ(Get("b", "berta").result, "result");
  EXPECT_THAT(jobs_->Delete("anna", "a"), IsOk());
  EXPECT_EQ(jobs_->GetBlob(Get("b", "berta").result_digest).value(), "picture");
  EXPECT_THAT(jobs_->Delete("berta", "b"), IsOk());
  EXPECT_THAT(jobs_->GetBlob("digest"), StatusIs(kNotFound)) << "the last that named it is gone";
  NewJob third = JobOf("anna", "c");
  third.cache_key = "key";
  EXPECT_EQ(Accept(third), Kind::kAccepted) << "nothing is kept any more";
}

TEST_P(AcceptanceTest, AnAnswerCountsAgainstTheAllowance) {
  NewJob job = JobOf("anna", "a");
  job.cache_key = "key";
  Succeed(job, Success("result", 60));
  job.tenant = "berta";
  const TenantLimits share = {.max_result_bytes = 100};
  job.name = "b";
  EXPECT_EQ(Accept(job, share), Kind::kAnswered);
  job.name = "c";
  EXPECT_EQ(Accept(job, share), Kind::kResultsFull);
}

TEST_P(AcceptanceTest, RefusesBeyondTheRoomOfAllAndOfOne) {
  NewJob big = JobOf("anna", "a");
  big.image_bytes = 60;
  EXPECT_EQ(Accept(big, {}, {.max_queued_bytes = 100}), Kind::kAccepted);
  big.name = "b";
  EXPECT_EQ(Accept(big, {}, {.max_queued_bytes = 100}), Kind::kQueueBytesFull);
  EXPECT_EQ(Accept(big, {.max_queued_bytes = 100}), Kind::kTenantBytesFull);
  NewJob first = big;
  first.tenant = "clara";
  first.name = "first";
  EXPECT_EQ(Accept(first, {.max_queued_bytes = 10}), Kind::kAccepted) << "nothing of hers waits";
  EXPECT_THAT(jobs_->Cancel("clara", "first", "", ""), IsOk());
  EXPECT_EQ(Accept(big, {}, {.max_queued = 1}), Kind::kQueueFull);
  const AcceptAnswer full = jobs_->Accept(big, {.max_queued = 1}, {}).value();
  EXPECT_EQ(full.kind, Kind::kTenantFull);
  EXPECT_EQ(full.limit, 1);
  EXPECT_EQ(Accept(JobOf("berta", "c"), {.max_queued = 1}), Kind::kAccepted);
  ASSERT_TRUE(Claim().has_value());
  ASSERT_TRUE(Claim().has_value());
  EXPECT_EQ(Accept(big, {.max_queued = 1}), Kind::kAccepted) << "what runs does not wait";
}

// An unread result is dropped for nobody; what was read goes, the oldest first.
TEST_P(AcceptanceTest, ResultsThatWereReadMakeRoomForTheTenantsOwn) {
  const TenantLimits share = {.max_result_bytes = 100};
  for (const char* name : {"a", "b", "c"}) Succeed(JobOf("anna", name), Success("r", 33), share);
  Succeed(JobOf("berta", "hers"), Success("r", 99), share);
  EXPECT_THAT(jobs_->MarkRead("hers"), IsOk());
  EXPECT_EQ(Accept(JobOf("anna", "d"), {.max_result_bytes = 99}), Kind::kResultsFull);
  EXPECT_THAT(jobs_->MarkRead("b"), IsOk());
  EXPECT_THAT(jobs_->MarkRead("c"), IsOk());
  const AcceptAnswer taken =
      jobs_->Accept(JobOf("anna", "d"), {.max_result_bytes = 99}, {}).value();
  EXPECT_EQ(taken.kind, Kind::kAccepted);
  EXPECT_EQ(taken.evicted, 1);
  EXPECT_THAT(jobs_->Get("anna", "b"), StatusIs(kNotFound));
  EXPECT_EQ(Get("a").result, "r");
  EXPECT_EQ(Get("c").result, "r");
  EXPECT_EQ(Get("hers", "berta").result, "r");
}

TEST_P(AcceptanceTest, EndedJobsAreCountedTooAndWhatHasNoResultGoesUnread) {
  const TenantLimits two = {.max_results = 2};
  Succeed(JobOf("anna", "unread"), Success("r"));
  EXPECT_EQ(Accept(JobOf("anna", "cancelled")), Kind::kAccepted);
  EXPECT_THAT(jobs_->Cancel("anna", "cancelled", "", ""), IsOk());
  EXPECT_EQ(Figures().ended, 2);
  EXPECT_EQ(Accept(JobOf("anna", "a"), two), Kind::kAccepted);
  EXPECT_THAT(jobs_->Get("anna", "cancelled"), StatusIs(kNotFound));
  EXPECT_EQ(Accept(JobOf("anna", "b"), {.max_results = 1}), Kind::kResultsFull);
  EXPECT_EQ(Get("unread").result, "r");
}

TEST_P(AcceptanceTest, WhatMayNotWaitIsJoinedOrAnsweredOrRefused) {
  NewJob job = WithId(JobOf("anna", "a"), "id", "h");
  job.may_wait = false;
  EXPECT_EQ(Accept(job), Kind::kMayNotWait);
  EXPECT_THAT(jobs_->Get("anna", "a"), StatusIs(kNotFound));
  EXPECT_EQ(Accept(WithId(JobOf("anna", "b"), "id", "h")), Kind::kAccepted);
  EXPECT_EQ(Accept(job), Kind::kJoined);
}

// Whom a job is for, and how long it may take.
TEST_P(AcceptanceTest, WhoJoinsMayFreeAJobFromItsCallers) {
  NewJob bound = WithId(JobOf("anna", "a"), "id", "h");
  bound.holder = "process 1";
  bound.time_left = absl::Minutes(1);
  EXPECT_EQ(Accept(bound), Kind::kAccepted);
  EXPECT_EQ(Get("a").holder, "process 1");
  bound.name = "again";
  EXPECT_EQ(Accept(bound), Kind::kJoined);
  EXPECT_EQ(Get("a").joined, 1);
  EXPECT_FALSE(jobs_->Abandon("a", "process 1", 0, "why", "error").value()) << "it was joined";
  NewJob elsewhere = bound;
  elsewhere.name = "b";
  elsewhere.holder = "process 2";
  EXPECT_EQ(Accept(elsewhere), Kind::kJoined);
  EXPECT_FALSE(jobs_->Abandon("a", "process 1", 2, "why", "error").value()) << "another waits too";
  EXPECT_EQ(Get("a").phase, JobPhase::kQueued);
  NewJob detached = bound;
  detached.name = "c";
  detached.holder = "";
  detached.time_left = absl::Hours(1);
  EXPECT_EQ(Accept(detached), Kind::kJoined);
  EXPECT_EQ(Get("a").holder, "");
  EXPECT_GT(Get("a").deadline, Get("a").created + absl::Minutes(50)) << "not its first caller's";
}

TEST_P(AcceptanceTest, ARefusalLetsNothingGo) {
  const TenantLimits share = {.max_result_bytes = 100};
  for (const char* name : {"a", "b", "c"}) Succeed(JobOf("anna", name), Success("r", 33), share);
  EXPECT_THAT(jobs_->MarkRead("a"), IsOk());
  const AcceptAnswer refused =
      jobs_->Accept(JobOf("anna", "d"), {.max_result_bytes = 50}, {}).value();
  EXPECT_EQ(refused.kind, Kind::kResultsFull);
  EXPECT_EQ(refused.evicted, 0);
  EXPECT_EQ(Get("a").result, "r");
}

// The result that answers may be the very one that has to make room.
TEST_P(AcceptanceTest, AnAnswerOutlivesTheResultItCameFrom) {
  NewJob job = JobOf("anna", "a");
  job.cache_key = "key";
  EXPECT_THAT(jobs_->PutBlob("digest", "picture"), IsOk());
  JobEnd end = Success("r", 60);
  end.result_digest = "digest";
  Succeed(job, end);
  EXPECT_THAT(jobs_->MarkRead("a"), IsOk());
  job.name = "b";
  const AcceptAnswer answer = jobs_->Accept(job, {.max_result_bytes = 100}, {}).value();
  EXPECT_EQ(answer.kind, Kind::kAnswered);
  EXPECT_EQ(answer.evicted, 1);
  EXPECT_THAT(jobs_->Get("anna", "a"), StatusIs(kNotFound));
  EXPECT_EQ(jobs_->GetBlob(Get("b").result_digest).value(), "picture");
}

TEST_P(AcceptanceTest, AJobIsNotTakenWithoutItsImageNorEndedWithoutItsResult) {
  NewJob job = JobOf("anna", "a");
  job.image_digest = "image";
  EXPECT_THAT(jobs_->Accept(job, {}, {}).status(), StatusIs(kFailedPrecondition, "no blob image"));
  EXPECT_THAT(jobs_->Get("anna", "a"), StatusIs(kNotFound));
  EXPECT_THAT(jobs_->PutBlob("image", "picture"), IsOk());
  EXPECT_EQ(Accept(job), Kind::kAccepted);
  ASSERT_TRUE(Claim().has_value());
  JobEnd end = Success("r");
  end.result_digest = "result";
  EXPECT_THAT(jobs_->Finish("a", 1, end).status(), StatusIs(kFailedPrecondition, "no blob result"));
  EXPECT_EQ(Get("a").phase, JobPhase::kRunning);
}

// Put for a second job, while the first one that wants it ends.
TEST_P(AcceptanceTest, ABlobThatWasJustPutIsNotTakenAway) {
  EXPECT_THAT(jobs_->PutBlob("input", "picture"), IsOk());
  NewJob job = JobOf("anna", "a");
  job.image_digest = "input";
  EXPECT_EQ(Accept(job), Kind::kAccepted);
  EXPECT_THAT(jobs_->PutBlob("input", "picture"), IsOk());
  EXPECT_THAT(jobs_->Cancel("anna", "a", "why", "error"), IsOk());
  job.name = "b";
  EXPECT_EQ(Accept(job), Kind::kAccepted);
  EXPECT_EQ(jobs_->GetBlob("input").value(), "picture");
}

TEST_P(AcceptanceTest, AnInputGoesWithTheLastJobThatWantsItAndWhatNobodyNamesAfterAWhile) {
  EXPECT_THAT(jobs_->PutBlob("input", "picture"), IsOk());
  EXPECT_THAT(jobs_->PutBlob("stray", "left by a server that died"), IsOk());
  for (const char* name : {"a", "b"}) {
    NewJob job = JobOf("anna", name);
    job.image_digest = "input";
    EXPECT_EQ(Accept(job), Kind::kAccepted);
  }
  Advance(absl::Minutes(11));
  EXPECT_EQ(Reap().blobs, 1);
  EXPECT_THAT(jobs_->GetBlob("stray"), StatusIs(kNotFound));
  ASSERT_EQ(Claim()->name, "a");
  EXPECT_TRUE(jobs_->Finish("a", 1, Success("r")).value());
  EXPECT_EQ(jobs_->GetBlob("input").value(), "picture");
  EXPECT_THAT(jobs_->Cancel("anna", "b", "why", "error"), IsOk());
  EXPECT_THAT(jobs_->GetBlob("input"), StatusIs(kNotFound));
}

INSTANTIATE_TEST_SUITE_P(Engines, AcceptanceTest, Engines(), EngineName);

}  // namespace
}  // namespace antidiffusion
