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

class SlowReadersTest : public ::testing::Test {
 protected:
  SlowReadersTest() : server_({}, [](ServerConfig& config) { config.max_unread_bytes = 1; }) {
    server_.WaitReady();
    job_ = jobs_.Create(RequestWith(LargePng())).value.name();
    EXPECT_TRUE(JobWatch(server_, job_).Finish().ok());
    bytes_ = static_cast<double>(jobs_.Get(job_).value.result().image_bytes());
    WaitForUnread(0);
    EXPECT_GT(bytes_, 200'000) << "the window of flow control would hold it";
  }

  void WaitForUnread(int results) { server_.WaitForMetric("unread_bytes", results * bytes_); }

  TestServer server_;
  const JobsClient jobs_{server_};
  std::string job_;
  double bytes_ = 0;
};

TEST_F(SlowReadersTest, NewWorkWaitsUntilTheyHaveRead) {
  JobWatch slow(server_, job_);
  WaitForUnread(1);
  const auto refused = jobs_.Create(RequestWith(SmallPng()));
  EXPECT_EQ(refused.status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(refused.reason(), "RESULTS_UNREAD");
  EXPECT_EQ(ErrorInfoOf(server_.Protect(RequestWith(SmallPng()))).reason(), "RESULTS_UNREAD");

  EXPECT_TRUE(slow.Finish().ok());
  EXPECT_TRUE(slow.result().whole());
  WaitForUnread(0);
  EXPECT_TRUE(server_.Protect(RequestWith(SmallPng())).ok());
}

TEST_F(SlowReadersTest, OtherReadersOfTheResultAreServedAndCountedOnce) {
  JobWatch slow(server_, job_);
  WaitForUnread(1);
  EXPECT_EQ(ImageOf(server_, job_).size(), static_cast<size_t>(bytes_));
  JobWatch another(server_, job_);
  EXPECT_TRUE(another.Finish().ok());
  WaitForUnread(1);
  EXPECT_TRUE(slow.Finish().ok());
  WaitForUnread(0);
}

TEST_F(SlowReadersTest, WhoGivesUpHoldsNothing) {
  {
    const JobWatch slow(server_, job_);
    WaitForUnread(1);
  }
  WaitForUnread(0);
}

TEST_F(SlowReadersTest, WhatIsNotTakenInTimeIsEnded) {
  v1::DownloadResultRequest request;
  request.set_name(job_);
  JobWatch slow(server_, request);
  WaitForUnread(1);
  server_.server().Tick(absl::Now() + absl::Minutes(10));
  EXPECT_FALSE(slow.Finish().ok());
  EXPECT_FALSE(slow.result().whole());
  WaitForUnread(0);
}

}  // namespace
}  // namespace antidiffusion
