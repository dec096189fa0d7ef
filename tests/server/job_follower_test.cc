#include "server/job_follower.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/time/clock.h"
#include "server/database/open_pool.h"
#include "server/errors.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

class JobFollowerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    AD_ASSERT_OK_AND_ASSIGN(std::unique_ptr<SqlPool> pool, OpenPool({.where = ":memory:"}, 1));
    AD_ASSERT_OK_AND_ASSIGN(database_, JobDatabase::Open(std::move(pool)));
    outlook_ = std::make_unique<QueueOutlook>(*database_, boards_, 1);
    follower_ = std::make_unique<JobFollower>(*database_, boards_, *outlook_);
  }
  static std::shared_ptr<Job> Named(const std::string& name) {
    return std::make_shared<Job>(JobRequest{}, JobIdentity{name, absl::Now(), 0},
                                 absl::InfiniteFuture(), std::nullopt, absl::Now);
  }
  // Waits until the follower has told the job its end.
  static absl::Status EndOf(const Job& job) {
    while (!job.Snapshot().ended.has_value()) {
    }
    return job.Snapshot().status;
  }

  JobBoards boards_;
  std::unique_ptr<JobDatabase> database_;
  std::unique_ptr<QueueOutlook> outlook_;
  std::unique_ptr<JobFollower> follower_;
};

TEST_F(JobFollowerTest, AJobThatIsGoneEnds) {
  const auto gone = boards_.Attach(Named("gone"), false, 0);
  follower_->Look("gone");
  EXPECT_EQ(ReasonOf(EndOf(*gone)), "JOB_NOT_FOUND");
}

// The follower reads jobs in the order of their names, and all of them once a signal was lost.
TEST_F(JobFollowerTest, AJobThatIsOnlyOfferedIsNotGone) {
  const auto offered = Named("a");
  boards_.Add(offered);
  for (const std::string name : {"b", "c"}) {
    const auto gone = boards_.Attach(Named(name), false, 0);
    follower_->Look("a");
    database_->signals().Publish({});
    EXPECT_EQ(ReasonOf(EndOf(*gone)), "JOB_NOT_FOUND");
  }
  EXPECT_FALSE(offered->Snapshot().ended.has_value());
  boards_.Accepted(*offered);
  follower_->Look("a");
  EXPECT_EQ(ReasonOf(EndOf(*offered)), "JOB_NOT_FOUND") << "as it was not stored after all";
}

}  // namespace
}  // namespace antidiffusion
