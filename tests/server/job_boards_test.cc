#include "server/job_boards.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "server/errors.h"

namespace antidiffusion {
namespace {

using Left = JobBoards::Left;

std::shared_ptr<Job> Named(const std::string& name) {
  return std::make_shared<Job>(JobRequest{}, JobIdentity{name, absl::UnixEpoch(), 0},
                               absl::InfiniteFuture(), std::nullopt,
                               [] { return absl::UnixEpoch(); });
}

TEST(JobBoardsTest, AJobIsOneForAllWhoFollowOrRunIt) {
  JobBoards boards;
  const auto first = Named("a");
  EXPECT_EQ(boards.Attach(first, false, 0), first);
  EXPECT_EQ(boards.Attach(Named("a"), false, 0), first);
  EXPECT_EQ(boards.followed().size(), 1u);
  EXPECT_EQ(boards.Run(Named("a")), first);
  EXPECT_TRUE(boards.followed().empty()) << "who runs it tells it";
  EXPECT_EQ(boards.FindFollowed("a"), nullptr);
  EXPECT_EQ(boards.running().size(), 1u);
  boards.Done(*first);
  EXPECT_EQ(boards.FindFollowed("a"), first);
  EXPECT_EQ(boards.Leave(*first).left, Left::kOthersStay);
  EXPECT_EQ(boards.Leave(*first).left, Left::kAbandoned);
  EXPECT_EQ(boards.Find("a"), nullptr);
}

TEST(JobBoardsTest, WhatRunsForNobodyIsHereUntilItsEnd) {
  JobBoards boards;
  const auto job = boards.Run(Named("a"));
  EXPECT_EQ(boards.Find("a"), job);
  boards.Done(*job);
  EXPECT_EQ(boards.Find("a"), nullptr);
  boards.Done(*job);  // of no meaning
}

TEST(JobBoardsTest, WhatIsOfferedIsFollowedOnceItIsKnownToBeStored) {
  JobBoards boards;
  boards.Add(Named("accepted"));
  boards.Add(Named("found"));
  boards.Add(Named("claimed"));
  EXPECT_TRUE(boards.followed().empty());
  boards.Accepted(*Named("accepted"));
  EXPECT_NE(boards.FindFollowed("accepted"), nullptr);
  boards.Attach(Named("found"), false, 1);
  EXPECT_NE(boards.FindFollowed("found"), nullptr);
  boards.Done(*boards.Run(Named("claimed")));
  EXPECT_NE(boards.FindFollowed("claimed"), nullptr);
  boards.Accepted(*Named("gone"));  // of no meaning
}

// Its acceptance was stored, but nobody heard of that.
TEST(JobBoardsTest, WhatRunsIsHereThoughItsCallerWasRefused) {
  JobBoards boards;
  const auto job = Named("a");
  boards.Add(job);
  EXPECT_EQ(boards.Run(Named("a")), job);
  boards.Remove(*job);
  EXPECT_EQ(boards.running().size(), 1u);
  boards.Done(*job);
  EXPECT_EQ(boards.Find("a"), nullptr);
}

TEST(JobBoardsTest, ADetachedJobIsAbandonedByNobody) {
  JobBoards boards;
  const auto job = boards.Attach(Named("a"), false, 0);
  EXPECT_EQ(boards.bound().size(), 1u);
  boards.Attach(job, /*detached=*/true, 0);
  EXPECT_TRUE(boards.bound().empty());
  boards.Leave(*job);
  EXPECT_EQ(boards.Leave(*job).left, Left::kOthersStay);
}

TEST(JobBoardsTest, TheLastReaderOfAnEndIsTold) {
  JobBoards boards;
  const auto job = boards.Attach(Named("a"), false, 3);
  boards.Attach(job, false, 2);
  job->Succeed({});
  EXPECT_TRUE(boards.followed().empty());
  EXPECT_EQ(boards.Leave(*job).left, Left::kOthersStay);
  EXPECT_EQ(boards.Leave(*job).left, Left::kRead);
}

TEST(JobBoardsTest, HowOftenAJobWasJoinedIsKnownWhenItIsAbandoned) {
  JobBoards boards;
  const auto job = boards.Attach(Named("a"), false, 3);
  EXPECT_EQ(boards.Leave(*job).joined, 3);
}

}  // namespace
}  // namespace antidiffusion
