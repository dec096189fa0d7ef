// Whose turn it is, on every database: shares of tenants, classes, limits, models; workers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/server/database/database_engines.h"
#include "tests/server/database/jobs_of_tests.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = AcceptAnswer::Kind;
using TurnsTest = JobDatabaseTest;

// The claimed jobs' first letters, which are their tenants'.
std::map<char, int> Count(const std::vector<std::string>& names) {
  std::map<char, int> count;
  for (const std::string& name : names) ++count[name[0]];
  return count;
}

class Claims {
 public:
  explicit Claims(JobDatabase& jobs) : jobs_(jobs) {}

  // Of the next `count` jobs, each finished at once.
  std::vector<std::string> Next(int count) {
    std::vector<std::string> names;
    for (int i = 0; i < count; ++i) {
      const auto claimed = jobs_.Claim("w", {"alpha"}, kLease).value();
      if (!claimed.has_value()) break;
      names.push_back(claimed->name);
      EXPECT_TRUE(jobs_.Finish(claimed->name, claimed->attempt, Success("r")).value());
    }
    return names;
  }

 private:
  JobDatabase& jobs_;
};

TEST_P(TurnsTest, TenantsAreServedByWeight) {
  for (int i = 0; i < 40; ++i) {
    Accept(JobOf("anna", absl::StrCat("a", i)), {.weight = 1});
    Accept(JobOf("berta", absl::StrCat("b", i)), {.weight = 3});
  }
  EXPECT_THAT(Count(Claims(*jobs_).Next(40)), ElementsAre(std::pair('a', 10), std::pair('b', 30)));
}

// A tenant of small weight gets no more by calling its jobs urgent.
TEST_P(TurnsTest, ClassesCountInsideATenantAlone) {
  for (int i = 0; i < 60; ++i) {
    Accept(JobOf("anna", absl::StrCat("a", i)), {.weight = 0.1});
    NewJob slow = JobOf("berta", absl::StrCat("b", i));
    slow.job_class = 1;
    Accept(slow, {.weight = 0.9});
  }
  EXPECT_THAT(Count(Claims(*jobs_).Next(50)), ElementsAre(std::pair('a', 5), std::pair('b', 45)));
}

TEST_P(TurnsTest, UrgentJobsGoFirstAndEveryFifthTurnIsTheOldests) {
  for (int i = 0; i < 3; ++i) {
    NewJob slow = JobOf("anna", absl::StrCat("slow", i));
    slow.job_class = 1;
    Accept(slow);
  }
  for (int i = 0; i < 6; ++i) Accept(JobOf("anna", absl::StrCat("fast", i)));
  EXPECT_THAT(Claims(*jobs_).Next(9), ElementsAre("fast0", "fast1", "fast2", "fast3", "slow0",
                                                  "fast4", "fast5", "slow1", "slow2"));
}

TEST_P(TurnsTest, IdlenessEarnsNoCredit) {
  for (int i = 0; i < 40; ++i) Accept(JobOf("anna", absl::StrCat("a", i)));
  Claims(*jobs_).Next(20);
  for (int i = 0; i < 40; ++i) Accept(JobOf("berta", absl::StrCat("b", i)));
  EXPECT_THAT(Count(Claims(*jobs_).Next(20)), ElementsAre(std::pair('a', 10), std::pair('b', 10)));
}

// A tenant that comes while another's job runs that turns out to be short.
TEST_P(TurnsTest, WhoComesAnewOwesNothingForWhatWasOnlyPlanned) {
  for (int i = 0; i < 10; ++i) {
    NewJob long_job = JobOf("anna", absl::StrCat("a", i));
    long_job.cost = 100;
    Accept(long_job);
  }
  ASSERT_TRUE(Claim().has_value());
  Accept(JobOf("berta", "b"));
  JobEnd end = Success("r");
  end.cost = 0.01;
  EXPECT_TRUE(jobs_->Finish("a0", 1, end).value());
  EXPECT_EQ(Claim()->name, "b");
}

TEST_P(TurnsTest, WorkCountsAndIsCorrectedByWhatItTook) {
  for (int i = 0; i < 30; ++i) {
    NewJob large = JobOf("anna", absl::StrCat("a", i));
    large.cost = 4;
    Accept(large);
    Accept(JobOf("berta", absl::StrCat("b", i)));
  }
  std::vector<std::string> names;
  for (int i = 0; i < 20; ++i) {
    const ClaimedJob claimed = Claim().value();
    names.push_back(claimed.name);
    JobEnd end = Success("r");
    end.cost = claimed.tenant == "anna" ? 4 : 1;
    EXPECT_TRUE(jobs_->Finish(claimed.name, 1, end).value());
  }
  EXPECT_THAT(Count(names), ElementsAre(std::pair('a', 4), std::pair('b', 16)));
  // From now on what is planned as 4 takes 1, as where the caller leaves early.
  names = Claims(*jobs_).Next(20);
  EXPECT_THAT(Count(names), ElementsAre(std::pair('a', 10), std::pair('b', 10)));
}

TEST_P(TurnsTest, ATenantRunsNoMoreThanItMay) {
  for (int i = 0; i < 3; ++i) {
    Accept(JobOf("anna", absl::StrCat("a", i)), {.max_running = 2});
  }
  Accept(JobOf("berta", "b0"), {.weight = 0.001});
  std::vector<std::string> names;
  for (int i = 0; i < 4; ++i) {
    if (const auto claimed = Claim(); claimed.has_value()) names.push_back(claimed->name);
  }
  EXPECT_THAT(Count(names), ElementsAre(std::pair('a', 2), std::pair('b', 1)));
  EXPECT_TRUE(jobs_->Finish("a0", 1, Success("r")).value());
  EXPECT_EQ(Claim().value().name, "a2");
}

TEST_P(TurnsTest, AWorkerIsGivenOnlyWhatItCanRun) {
  NewJob other = JobOf("anna", "beta's");
  other.model = "beta";
  Accept(other);
  Accept(JobOf("anna", "alpha's"));
  EXPECT_EQ(Claim("w1", {"alpha"}).value().name, "alpha's");
  EXPECT_FALSE(Claim("w1", {"alpha"}).has_value());
  EXPECT_FALSE(Claim("w1", {}).has_value());
  EXPECT_EQ(Claim("w2", {"alpha", "beta"}).value().name, "beta's");
}

TEST_P(TurnsTest, AWorkerHasAllModelsOfItsJob) {
  NewJob both = JobOf("anna", "both");
  both.also = {"beta", "gamma"};
  Accept(both);
  EXPECT_FALSE(Claim("w1", {"alpha"}).has_value());
  EXPECT_FALSE(Claim("w1", {"alpha", "beta"}).has_value());
  EXPECT_FALSE(Claim("w1", {"beta", "gamma"}).has_value());
  Accept(JobOf("anna", "one"));
  EXPECT_EQ(Claim("w1", {"alpha", "beta"})->name, "one") << "it does not stand in the way";
  EXPECT_EQ(Claim("w1", {"gamma", "beta", "alpha"})->name, "both");
}

TEST_P(TurnsTest, AProcessThatLeavesTakesOnlyWhatEndsWithIt) {
  NewJob mine = JobOf("anna", "mine");
  mine.holder = "process 1";
  NewJob kept = mine;
  kept.name = "kept";
  kept.request_id = "id";
  Accept(kept);
  Accept(JobOf("anna", "detached"));
  Accept(mine);
  const auto claimed = jobs_->Claim("w", {"alpha"}, kLease, "process 1").value();
  ASSERT_TRUE(claimed.has_value());
  EXPECT_EQ(claimed->name, "mine");
  EXPECT_EQ(claimed->holder, "process 1");
  EXPECT_FALSE(jobs_->Claim("w", {"alpha"}, kLease, "process 1").value().has_value());
}

TEST_P(TurnsTest, PositionsFollowTheTurns) {
  for (int i = 0; i < 4; ++i) {
    Accept(JobOf("anna", absl::StrCat("a", i)));
    Accept(JobOf("berta", absl::StrCat("b", i)));
  }
  EXPECT_EQ(jobs_->Position("a0").value().jobs, 0);
  EXPECT_EQ(jobs_->Position("b0").value().jobs, 0) << "either may be next";
  EXPECT_EQ(jobs_->Position("a3").value().jobs, 6);
  EXPECT_EQ(jobs_->Position("a3").value().cost, 6);
  EXPECT_EQ(jobs_->PositionOfNext("anna", 0).value().jobs, 8);
  EXPECT_EQ(jobs_->PositionOfNext("clara", 0).value().jobs, 0);
  Claim();
  EXPECT_THAT(jobs_->Position("a0"), StatusIs(kNotFound)) << "it runs";
}

// One that has had more than its part is behind others with its first job, too.
TEST_P(TurnsTest, ATenantWithoutJobsHasAPlaceByWhatItHasHad) {
  Accept(JobOf("anna", "a0"));
  const std::optional<ClaimedJob> first = Claim();
  ASSERT_TRUE(first.has_value());
  JobEnd end = Success("r");
  end.cost = 3;  // so much it took
  ASSERT_TRUE(jobs_->Finish("a0", first->attempt, end).value());
  for (int i = 0; i < 10; ++i) Accept(JobOf("berta", absl::StrCat("b", i)));
  const int64_t before = jobs_->PositionOfNext("anna", 0).value().jobs;
  EXPECT_GE(before, 2);
  EXPECT_LE(before, 3);
  EXPECT_EQ(jobs_->PositionOfNext("clara", 0).value().jobs, 0) << "nothing is known of her";
}

TEST_P(TurnsTest, WorkersAreKnownWhileTheyAnnounceThemselves) {
  EXPECT_THAT(jobs_->Workers().value(), IsEmpty());
  EXPECT_THAT(jobs_->Announce({"w1", "about", 2, {"beta", "alpha"}}, kLease), IsOk());
  EXPECT_THAT(jobs_->Announce({"w2", "", 1, {}}, 3 * kLease), IsOk());
  EXPECT_THAT(jobs_->Announce({"w1", "news", 3, {"alpha"}}, kLease), IsOk());
  const std::vector<WorkerNote> workers = jobs_->Workers().value();
  ASSERT_EQ(workers.size(), 2u);
  EXPECT_EQ(workers[0].about, "news");
  EXPECT_THAT(workers[0].models, ElementsAre("alpha"));
  EXPECT_EQ(Figures().capacity, 4);
  Advance(2 * kLease);
  EXPECT_EQ(Figures().capacity, 1);
  EXPECT_EQ(Reap().workers, 1);
  EXPECT_EQ(jobs_->Workers().value().size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Engines, TurnsTest, Engines(), EngineName);

}  // namespace
}  // namespace antidiffusion
