// Several users of one database at once, and a database that goes away.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "server/database/schema.h"
#include "tests/server/database/database_engines.h"
#include "tests/server/database/jobs_of_tests.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

using Kind = AcceptAnswer::Kind;
using ManyUsersTest = JobDatabaseTest;

constexpr int kThreads = 6;

void InThreads(const std::function<void(int)>& run) {
  std::vector<std::jthread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) threads.emplace_back([&run, i] { run(i); });
}

// Three tenants' jobs, given and taken by several at once: each is run once, and the accounts
// agree.
TEST_P(ManyUsersTest, NoJobIsClaimedTwiceAndNoneIsLost) {
  constexpr int kEach = 30;
  Mutex mutex;
  std::multiset<std::string> ran;
  std::atomic<int> accepted = 0;
  InThreads([&](int thread) {
    for (int i = 0; i < kEach; ++i) {
      const std::string tenant = absl::StrCat("tenant", (thread + i) % 3);
      const auto answer =
          jobs_->Accept(JobOf(tenant, absl::StrCat("job", thread, "-", i)), {.max_running = 4}, {});
      ASSERT_THAT(answer.status(), IsOk());
      accepted += answer->kind == Kind::kAccepted ? 1 : 0;
      const auto claimed = jobs_->Claim(absl::StrCat("w", thread), {"alpha"}, kLease);
      ASSERT_THAT(claimed.status(), IsOk());
      if (!claimed->has_value()) continue;
      const auto finished = jobs_->Finish((*claimed)->name, (*claimed)->attempt, Success("r", 2));
      ASSERT_THAT(finished.status(), IsOk());
      EXPECT_TRUE(*finished);
      const MutexLock lock(mutex);
      ran.insert((*claimed)->name);
    }
  });
  while (const auto claimed = Claim()) {
    EXPECT_TRUE(jobs_->Finish(claimed->name, claimed->attempt, Success("r", 2)).value());
    ran.insert(claimed->name);
  }
  EXPECT_EQ(accepted, kThreads * kEach);
  EXPECT_EQ(ran.size(), static_cast<size_t>(kThreads * kEach));
  EXPECT_EQ(std::set<std::string>(ran.begin(), ran.end()).size(), ran.size());
  EXPECT_EQ(Figures().queued, 0);
  EXPECT_EQ(Figures().running, 0);
  const absl::StatusOr<int64_t> kept = Query<int64_t>(*pool_, [](SqlConnection& c, int64_t& sum) {
    const absl::StatusOr<SqlResult> rows = c.Run("SELECT sum(result_bytes) FROM tenants");
    if (rows.ok()) sum = rows->Int(0, 0);
    return rows.status();
  });
  EXPECT_EQ(kept.value(), 2 * kThreads * kEach);
}

// The same request sent to several at once is one job.
TEST_P(ManyUsersTest, OneRequestIdIsOneJob) {
  std::atomic<int> accepted = 0;
  std::atomic<int> joined = 0;
  InThreads([&](int thread) {
    for (int i = 0; i < 10; ++i) {
      NewJob job = JobOf("anna", absl::StrCat("job", thread, "-", i));
      job.request_id = absl::StrCat("id", i);
      const auto answer = jobs_->Accept(job, {}, {});
      ASSERT_THAT(answer.status(), IsOk());
      (answer->kind == Kind::kAccepted ? accepted : joined) += 1;
    }
  });
  EXPECT_EQ(accepted, 10);
  EXPECT_EQ(joined, (kThreads - 1) * 10);
  EXPECT_EQ(Figures().queued, 10);
}

// An answer from a kept result, while that result is being deleted, is whole or is none.
TEST_P(ManyUsersTest, AnAnswerNeverNamesAPictureThatIsGone) {
  for (int round = 0; round < 10; ++round) {
    NewJob job = JobOf("anna", absl::StrCat("source", round));
    job.cache_key = absl::StrCat("key", round);
    const std::string digest = absl::StrCat("digest", round);
    ASSERT_THAT(jobs_->PutBlob(digest, "picture"), IsOk());
    JobEnd end = Success("r", 1);
    end.result_digest = digest;
    Succeed(job, end);
    std::jthread deleting([&] { EXPECT_THAT(jobs_->Delete("anna", job.name), IsOk()); });
    NewJob equal = job;
    equal.name = absl::StrCat("equal", round);
    const AcceptAnswer answer = jobs_->Accept(equal, {}, {}).value();
    deleting.join();
    if (answer.kind == Kind::kAnswered) {
      EXPECT_EQ(jobs_->GetBlob(Get(equal.name).result_digest).value(), "picture");
    } else {
      EXPECT_EQ(answer.kind, Kind::kAccepted);
      EXPECT_THAT(jobs_->Cancel("anna", equal.name, "", ""), IsOk());
    }
  }
}

// One picture wanted by two jobs, of which one ends while the other is accepted.
TEST_P(ManyUsersTest, AnAcceptedJobNeverLacksItsImage) {
  for (int round = 0; round < 10; ++round) {
    NewJob first = JobOf("anna", absl::StrCat("first", round));
    first.image_digest = absl::StrCat("digest", round);
    ASSERT_THAT(jobs_->PutBlob(first.image_digest, "picture"), IsOk());
    ASSERT_EQ(Accept(first), Kind::kAccepted);
    std::jthread ending([&] { EXPECT_THAT(jobs_->Cancel("anna", first.name, "", ""), IsOk()); });
    NewJob second = JobOf("berta", absl::StrCat("second", round));
    second.image_digest = first.image_digest;
    const absl::Status accepted = jobs_->Accept(second, {}, {}).status();
    ending.join();
    const absl::Status there = jobs_->GetBlob(second.image_digest).status();
    if (accepted.ok()) {
      EXPECT_THAT(there, IsOk());
      EXPECT_THAT(jobs_->Cancel("berta", second.name, "", ""), IsOk());
    } else {
      EXPECT_THAT(accepted, StatusIs(kFailedPrecondition));
      EXPECT_THAT(there, StatusIs(kNotFound));
    }
  }
}

TEST_P(ManyUsersTest, TheTablesAreMadeOnceAndThoseOfAFarFutureAreRefused) {
  EXPECT_THAT(MigrateJobDatabase(*pool_), IsOk());
  Accept(JobOf("anna", "a"));
  Run("UPDATE job_database SET version = version + 1");
  EXPECT_THAT(MigrateJobDatabase(*pool_), IsOk())
      << "the version after ours leaves us what we need";
  EXPECT_EQ(Get("a").phase, JobPhase::kQueued);
  Run("UPDATE job_database SET version = version + 1");
  EXPECT_THAT(MigrateJobDatabase(*pool_), StatusIs(kFailedPrecondition, "version 3"));
}

INSTANTIATE_TEST_SUITE_P(Engines, ManyUsersTest, Engines(), EngineName);

using SeveralServersTest = JobDatabaseTest;

TEST_P(SeveralServersTest, OneAcceptsAnotherRunsAThirdReads) {
  const std::unique_ptr<JobDatabase> second = Another();
  const std::unique_ptr<JobDatabase> third = Another();
  Accept(JobOf("anna", "a"));
  const auto claimed = second->Claim("w", {"alpha"}, kLease).value();
  ASSERT_TRUE(claimed.has_value());
  EXPECT_FALSE(third->Claim("v", {"alpha"}, kLease).value().has_value());
  EXPECT_TRUE(second->Finish("a", claimed->attempt, Success("r")).value());
  EXPECT_EQ(third->Get("anna", "a").value().result, "r");
}

TEST_P(SeveralServersTest, SeveralMakeTheTablesAtOnce) {
  for (int round = 0; round < 3; ++round) {
    SetUp();
    Run("DROP SCHEMA public CASCADE");
    Run("CREATE SCHEMA public");
    std::vector<std::unique_ptr<JobDatabase>> opened(kThreads);
    InThreads([&](int thread) { opened[static_cast<size_t>(thread)] = Another(); });
    for (const auto& jobs : opened) ASSERT_NE(jobs, nullptr);
    EXPECT_EQ(opened.front()->Accept(JobOf("anna", "a"), {}, {}).value().kind, Kind::kAccepted);
  }
}

// What was accepted is there after a crash of the database, and so is the service.
TEST_P(SeveralServersTest, ADatabaseThatDiesIsAwayUntilItIsBack) {
  Accept(JobOf("anna", "a"));
  ASSERT_TRUE(Claim().has_value());
  postgres().Kill();
  EXPECT_THAT(jobs_->Accept(JobOf("anna", "b"), {}, {}).status(),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(jobs_->Renew("a", 1, kLease, "").status(), StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_THAT(postgres().Restart(), IsOk());
  EXPECT_EQ(Get("a").phase, JobPhase::kRunning);
  EXPECT_EQ(Accept(JobOf("anna", "b")), Kind::kAccepted);
  EXPECT_EQ(jobs_->Renew("a", 1, kLease, "").value().lease, Lease::kHeld);
  EXPECT_TRUE(jobs_->Finish("a", 1, Success("r")).value());
}

INSTANTIATE_TEST_SUITE_P(Engines, SeveralServersTest, ::testing::Values("postgres"), EngineName);

}  // namespace
}  // namespace antidiffusion
