// Readers that take their results slowly or never: what is held for them is bounded, in bytes and
// time.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "tests/server/jobs_client.h"
#include "tests/server/test_server.h"

namespace antidiffusion {
namespace {

// A job whose end a slow reader waits for: its result stays in memory, where later ones find it.
class SlowReadersTest : public ::testing::Test {
 protected:
  SlowReadersTest()
      : server_({.hold_steps = true}, [](ServerConfig& config) { config.max_unread_bytes = 1; }) {
    server_.WaitReady();
    job_ = jobs_.Create(RequestWith(LargePng())).value.name();
    slow_ = std::make_unique<JobWatch>(server_, job_);
    EXPECT_TRUE(slow_->Next().has_value());
    server_.engine().AllowAllSteps();
    while (jobs_.Get(job_).value.state() != v1::Job::SUCCEEDED) {
    }
    bytes_ = static_cast<double>(jobs_.Get(job_).value.result().image_bytes());
    EXPECT_GT(bytes_, 200'000) << "the window of flow control would hold it";
    WaitForUnread(1);
  }

  void WaitForUnread(int results) { server_.WaitForMetric("unread_bytes", results * bytes_); }

  TestServer server_;
  const JobsClient jobs_{server_};
  std::string job_;
  std::unique_ptr<JobWatch> slow_;
  double bytes_ = 0;
};

TEST_F(SlowReadersTest, NewWorkWaitsUntilTheyHaveRead) {
  const auto refused = jobs_.Create(RequestWith(SmallPng()));
  EXPECT_EQ(refused.status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(refused.reason(), "RESULTS_UNREAD");
  EXPECT_EQ(ErrorInfoOf(server_.Protect(RequestWith(SmallPng()))).reason(), "RESULTS_UNREAD");

  EXPECT_TRUE(slow_->Finish().ok());
  EXPECT_TRUE(slow_->result().whole());
  WaitForUnread(0);
  EXPECT_TRUE(server_.Protect(RequestWith(SmallPng())).ok());
}

TEST_F(SlowReadersTest, OtherReadersOfTheResultAreServedAndCountedOnce) {
  EXPECT_EQ(ImageOf(server_, job_).size(), static_cast<size_t>(bytes_));
  JobWatch another(server_, job_);
  EXPECT_TRUE(another.Finish().ok());
  WaitForUnread(1);
  EXPECT_TRUE(slow_->Finish().ok());
  WaitForUnread(0);
}

TEST_F(SlowReadersTest, WhoGivesUpHoldsNothing) {
  slow_.reset();
  WaitForUnread(0);
}

TEST_F(SlowReadersTest, WhoReadsOutOfTheDatabaseHoldsNothing) {
  EXPECT_TRUE(slow_->Finish().ok());
  WaitForUnread(0);
  JobWatch later(server_, job_);
  while (!later.Event().has_result()) {
  }
  EXPECT_EQ(server_.Metric("unread_bytes"), 0);
  EXPECT_TRUE(later.Finish().ok());
  EXPECT_EQ(later.result().image().size(), static_cast<size_t>(bytes_));
}

TEST_F(SlowReadersTest, WhatIsNotTakenInTimeIsEnded) {
  v1::DownloadResultRequest request;
  request.set_name(job_);
  JobWatch download(server_, request);
  ASSERT_TRUE(download.Event().has_result());
  const absl::Time later = absl::Now() + absl::Minutes(10);
  while (server_.Metric("unread_bytes") != 0) {  // a tick may come between two writes
    server_.server().Tick(later);
  }
  for (JobWatch* reader : {slow_.get(), &download}) {
    EXPECT_FALSE(reader->Finish().ok());
    EXPECT_FALSE(reader->result().whole());
  }
  WaitForUnread(0);
}

}  // namespace
}  // namespace antidiffusion
