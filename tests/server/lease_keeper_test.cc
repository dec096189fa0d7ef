#include "server/lease_keeper.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/time/clock.h"
#include "server/errors.h"
#include "server/job_record.h"
#include "tests/server/job_parts.h"

namespace antidiffusion {
namespace {

constexpr absl::Duration kUnhurried = absl::Hours(10);  // renewed when there is news alone

class LeaseKeeperTest : public JobPartsTest {
 protected:
  void SetUp() override {
    JobPartsTest::SetUp();
    leases_ = std::make_unique<LeaseKeeper>(LeaseKeeper::Surroundings{*database_, metrics_, *log_},
                                            kUnhurried);
    Accept("a");
    claim_ = *database_->Claim("here", {"alpha"}, kUnhurried).value();
    job_ = std::make_shared<Job>(JobRequest{}, JobIdentity{"a", absl::Now(), 0},
                                 absl::InfiniteFuture(), std::nullopt, absl::Now);
    leases_->Hold(job_, claim_.attempt);
  }
  // Waits for the reason.
  std::string WhyCancelled() const {
    while (!job_->cancel_reason().has_value()) {
    }
    return ReasonOf(*job_->cancel_reason());
  }
  double Lost() const {
    const std::string text = metrics_.Text();
    const std::string name = "\nantidiffusion_job_leases_lost_total ";
    const size_t at = text.find(name);
    return at == std::string::npos ? -1 : std::stod(text.substr(at + name.size()));
  }

  std::unique_ptr<LeaseKeeper> leases_;
  ClaimedJob claim_;
  std::shared_ptr<Job> job_;
};

TEST_F(LeaseKeeperTest, StoresProgress) {
  job_->Start({.model = "alpha", .device = "fake:0"});
  job_->Report({});
  while (database_->Get("anna", "a")->progress.empty()) {
  }
  EXPECT_GE(database_->Get("anna", "a")->sequence, claim_.sequence);
}

TEST_F(LeaseKeeperTest, ACancelledJobIsToldWhy) {
  const absl::Status why = DeadlinePassedError("running");
  ASSERT_THAT(database_->Cancel("anna", "a", ReasonOf(why), ToStoredError(why)).status(), IsOk());
  EXPECT_EQ(WhyCancelled(), ReasonOf(why));
  EXPECT_FALSE(leases_->Drop("a", claim_.attempt)) << "it is still held";
  EXPECT_EQ(Lost(), 0);
}

TEST_F(LeaseKeeperTest, AJobThatIsAnothersStopsHere) {
  ASSERT_THAT(database_->Release("a", claim_.attempt).status(), IsOk());  // as if it had run out
  EXPECT_EQ(WhyCancelled(), "LEASE_LOST");
  EXPECT_FALSE(leases_->BeginEnd("a", claim_.attempt)) << "nothing is to be stored";
  EXPECT_TRUE(leases_->Drop("a", claim_.attempt));
  EXPECT_EQ(Lost(), 1);
}

TEST_F(LeaseKeeperTest, ItsOwnEndIsNoLoss) {
  ASSERT_TRUE(leases_->BeginEnd("a", claim_.attempt));
  ASSERT_TRUE(database_->Finish("a", claim_.attempt, Success("done")).value());
  // What is told of it has been looked at once a later one has been.
  Accept("b");
  const ClaimedJob other = *database_->Claim("here", {"alpha"}, kUnhurried).value();
  const auto later = std::make_shared<Job>(JobRequest{}, JobIdentity{"b", absl::Now(), 0},
                                           absl::InfiniteFuture(), std::nullopt, absl::Now);
  leases_->Hold(later, other.attempt);
  ASSERT_THAT(database_->Release("b", other.attempt).status(), IsOk());
  while (!later->cancel_reason().has_value()) {
  }
  EXPECT_FALSE(leases_->Drop("a", claim_.attempt));
  EXPECT_FALSE(job_->cancel_reason().has_value());
  EXPECT_EQ(Lost(), 1) << "that of the other alone";
}

}  // namespace
}  // namespace antidiffusion
