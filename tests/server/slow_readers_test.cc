// Readers that take their results slowly or never: what is held for them is bounded, in bytes and
// time.
#include <grpcpp/completion_queue.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "tests/server/jobs_client.h"
#include "tests/server/test_server.h"

namespace antidiffusion {
namespace {

// A GetJob whose caller takes nothing before Finish: its answer is larger than the window of flow
// control, so that it waits in the server.
class UnreadAnswer {
 public:
  UnreadAnswer(TestServer& server, const std::string& name) {
    v1::GetJobRequest request;
    request.set_name(name);
    request.set_include_result(true);
    call_ = server.stub().PrepareAsyncGetJob(&context_, request, &queue_);
    call_->StartCall();
    call_->ReadInitialMetadata(&context_);  // sends the request, takes no message
  }

  ~UnreadAnswer() {
    queue_.Shutdown();
    while (Next() != nullptr) {
    }
  }
  UnreadAnswer(const UnreadAnswer&) = delete;
  UnreadAnswer& operator=(const UnreadAnswer&) = delete;

  grpc::Status Finish() {
    v1::Job job;
    grpc::Status status;
    call_->Finish(&job, &status, &call_);
    while (Next() != &call_) {
    }
    return status;
  }

 private:
  void* Next() {
    void* tag = nullptr;
    bool ok = false;
    return queue_.Next(&tag, &ok) ? tag : nullptr;
  }

  grpc::CompletionQueue queue_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<v1::Job>> call_;
};

class SlowReadersTest : public ::testing::Test {
 protected:
  // Room for one result, and for one more in line.
  SlowReadersTest() : server_({}, [](ServerConfig& config) { config.max_unread_bytes = 1; }) {
    server_.WaitReady();
    v1::ProtectRequest request = RequestWith(LargePng());
    request.mutable_options()->set_seed(1);
    job_ = jobs_.Create(request).value.name();
    JobWatch watch(server_, job_);
    EXPECT_TRUE(watch.Finish().ok());
    bytes_ = static_cast<double>(watch.last().result().image().size());
    WaitForUnread(0);
    EXPECT_GT(bytes_, 200'000) << "the window of flow control would hold it";
  }

  void WaitForUnread(int results) { server_.WaitForMetric("unread_bytes", results * bytes_); }

  TestServer server_;
  const JobsClient jobs_{server_};
  std::string job_;
  double bytes_ = 0;
};

TEST_F(SlowReadersTest, ResultsBeyondTheLimitWaitAndThenAreRefused) {
  JobWatch first(server_, job_);
  WaitForUnread(1);
  JobWatch second(server_, job_);
  WaitForUnread(2);
  const auto third = jobs_.Get(job_, true);
  EXPECT_EQ(third.status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(third.reason(), "RESULTS_UNREAD");
  JobWatch fourth(server_, job_);
  EXPECT_EQ(ErrorInfoOf(fourth.Finish()).reason(), "RESULTS_UNREAD");
  EXPECT_TRUE(jobs_.Get(job_).status.ok()) << "what holds no image is answered as ever";

  EXPECT_TRUE(first.Finish().ok());
  EXPECT_TRUE(second.Finish().ok()) << "it is let in by the next tick";
  EXPECT_EQ(second.last().result().image().size(), static_cast<size_t>(bytes_));
  WaitForUnread(0);
  EXPECT_TRUE(jobs_.Get(job_, true).status.ok());
}

TEST_F(SlowReadersTest, AnAnswerWaitsForRoomAsAStreamDoes) {
  auto first = std::make_unique<JobWatch>(server_, job_);
  WaitForUnread(1);
  UnreadAnswer second(server_, job_);
  WaitForUnread(2);
  first.reset();
  EXPECT_TRUE(second.Finish().ok());
  WaitForUnread(0);
}

TEST_F(SlowReadersTest, WhoGivesUpInLineLeavesIt) {
  JobWatch first(server_, job_);
  WaitForUnread(1);
  {
    const JobWatch second(server_, job_);
    WaitForUnread(2);
  }
  WaitForUnread(1);
  EXPECT_TRUE(first.Finish().ok());
  WaitForUnread(0);
}

TEST_F(SlowReadersTest, WhatIsNotTakenInTimeIsEnded) {
  const absl::Time later = absl::Now() + absl::Minutes(10);
  JobWatch stream(server_, job_);
  WaitForUnread(1);
  while (server_.Metric("unread_bytes") != 0) {  // its room comes before its write
    server_.server().Tick(later);
  }
  EXPECT_FALSE(stream.Finish().ok());
  WaitForUnread(0);

  UnreadAnswer answer(server_, job_);
  WaitForUnread(1);
  server_.server().Tick(later);
  EXPECT_FALSE(answer.Finish().ok());
  WaitForUnread(0);
}

}  // namespace
}  // namespace antidiffusion
