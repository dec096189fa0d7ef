// The runner against a service of the test's own: every way in which an exchange can end.
#include "tests/load/load_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "tests/client/fake_service.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

v1::JobEvent RunningEvent() {
  v1::JobEvent event;
  event.mutable_running()->set_device("cpu");
  return event;
}

grpc::Status WriteAll(EventWriter& writer, uint64_t after = 0) {
  if (after < 1) writer.Write(WithSequence(QueuedEvent(0), 1));
  if (after < 2) writer.Write(WithSequence(RunningEvent(), 2));
  WriteResult(writer, "protected", 3);
  return grpc::Status::OK;
}

class LoadRunTest : public ::testing::Test {
 protected:
  LoadRunTest() {
    settings_.connection.server = service_.address();
    settings_.tenants = {{.name = "acme", .api_key = "k"}};
    settings_.sizes = {{.width = 64, .height = 64}};
    settings_.rate = 10'000;
    settings_.count = 40;
    settings_.channels = 2;
    settings_.quiet = true;
    service_.protect = [](auto*, const auto&, EventWriter& writer) { return WriteAll(writer); };
    service_.create_job = [this](auto*, const v1::ProtectRequest& request, v1::Job& job) {
      job = MakeJob(absl::StrCat("job-", ++jobs_), v1::Job::QUEUED);
      MutexLock lock(mutex_);
      seeds_.insert(request.options().seed());
      return grpc::Status::OK;
    };
    service_.watch_job = [](auto*, const v1::WatchJobRequest& request, EventWriter& writer) {
      return WriteAll(writer, request.from_sequence());
    };
  }

  Report Run() {
    std::ostringstream progress;
    auto report = RunLoad(settings_, progress);
    EXPECT_THAT(report, IsOk());
    return report.ok() ? *std::move(report) : Report({""});
  }

  FakeService service_;
  LoadSettings settings_;
  std::atomic<int> jobs_ = 0;
  Mutex mutex_;
  std::set<uint64_t> seeds_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(LoadRunTest, EveryArrivalEnds) {
  const Report report = Run();
  EXPECT_EQ(report.arrivals(), 40);
  EXPECT_EQ(report.count(Outcome::kSucceeded), 40);
  EXPECT_THAT(report.Violations(), IsEmpty());
  MutexLock lock(mutex_);
  EXPECT_EQ(seeds_.size(), static_cast<size_t>(jobs_));  // none could come from a cache
}

TEST_F(LoadRunTest, SlowReadersGetAllTheSame) {
  settings_.slow_ratio = 1;
  settings_.slow_delay = absl::Milliseconds(1);
  EXPECT_EQ(Run().count(Outcome::kSucceeded), 40);
}

TEST_F(LoadRunTest, RefusalsAreNoAcceptances) {
  settings_.jobs_ratio = 1;
  const auto create = service_.create_job;
  service_.create_job = [this, create](auto* context, const auto& request, v1::Job& job) {
    if (Metadata(*context, "authorization") != "Bearer k") return grpc::Status::CANCELLED;
    if (jobs_ < 10) return create(context, request, job);
    return DetailedStatus(grpc::StatusCode::RESOURCE_EXHAUSTED, "full", {.reason = "QUEUE_FULL"});
  };
  const Report report = Run();
  EXPECT_EQ(report.accepted() + report.count(Outcome::kRefused), 40);
  EXPECT_GE(report.accepted(), 10);
  EXPECT_GT(report.count(Outcome::kRefused), 0);
  EXPECT_THAT(report.Violations(), IsEmpty());
}

TEST_F(LoadRunTest, AWatchThatBreaksIsPickedUpAndAJobThatFailsIsNot) {
  settings_.jobs_ratio = 1;
  settings_.count = 2;
  service_.watch_job = [](auto*, const v1::WatchJobRequest& request, EventWriter& writer) {
    if (request.name() == "job-1") {
      writer.Write(WithSequence(QueuedEvent(0), 1));
      return DetailedStatus(grpc::StatusCode::INTERNAL, "lost", {.reason = "WORKER_LOST_TWICE"});
    }
    if (request.from_sequence() == 0) {
      writer.Write(WithSequence(QueuedEvent(0), 1));
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "Socket closed");
    }
    return WriteAll(writer, request.from_sequence());
  };
  const Report report = Run();
  EXPECT_EQ(report.count(Outcome::kSucceeded), 1);
  EXPECT_EQ(report.count(Outcome::kFailed), 1);
  std::ostringstream out;
  report.Write(out);
  EXPECT_THAT(out.str(), HasSubstr("failed 1: INTERNAL WORKER_LOST_TWICE"));
  EXPECT_THAT(out.str(), HasSubstr("watches picked up 1"));
  EXPECT_THAT(report.Violations(), IsEmpty());
}

TEST_F(LoadRunTest, ARepeatedEventIsDisorder) {
  settings_.jobs_ratio = 1;
  settings_.count = 1;
  service_.watch_job = [](auto*, const auto&, EventWriter& writer) {
    writer.Write(WithSequence(QueuedEvent(0), 2));
    return WriteAll(writer, 1);
  };
  EXPECT_THAT(Run().Violations(), ElementsAre("1 had events out of order"));
}

TEST_F(LoadRunTest, ACancelledJobIsCancelledOnTheServerAndMeasured) {
  settings_.jobs_ratio = 1;
  settings_.count = 5;
  settings_.cancel_ratio = 1;
  settings_.cancel_after = absl::Microseconds(1);
  Mutex mutex;
  CondVar changed;
  std::set<std::string> cancelled;
  service_.cancel_job = [&](auto*, const v1::CancelJobRequest& request, v1::Job&) {
    MutexLock lock(mutex);
    cancelled.insert(request.name());
    changed.NotifyAll();
    return grpc::Status::OK;
  };
  service_.watch_job = [&](auto*, const v1::WatchJobRequest& request, EventWriter&) {
    MutexLock lock(mutex);
    while (cancelled.count(request.name()) == 0) changed.Wait(lock);
    return DetailedStatus(grpc::StatusCode::CANCELLED, "cancelled", {.reason = "CANCELLED"});
  };
  const Report report = Run();
  EXPECT_EQ(report.count(Outcome::kCancelled), 5);
  std::ostringstream out;
  report.Write(out);
  EXPECT_THAT(out.str(), ::testing::ContainsRegex("cancel +5 "));
  EXPECT_THAT(report.Violations(), IsEmpty());
}

TEST_F(LoadRunTest, WhatNeverEndsIsLostWhenPatienceEnds) {
  settings_.count = 3;
  settings_.patience = absl::Seconds(2);  // time enough to accept all three
  service_.watch_job = [](grpc::ServerContext* context, const auto&, EventWriter& writer) {
    writer.Write(WithSequence(QueuedEvent(0), 1));
    for (uint64_t next = 2; !context->IsCancelled(); ++next) {
      writer.Write(WithSequence(ProgressEvent("pgd", 1, 2, 0.5), next));
    }
    return grpc::Status::CANCELLED;
  };
  settings_.jobs_ratio = 1;
  const Report report = Run();
  EXPECT_EQ(report.count(Outcome::kLost), 3);
  EXPECT_THAT(report.Violations(), ElementsAre("3 were accepted and never ended"));
}

TEST_F(LoadRunTest, WithoutAServerNothingIsAccepted) {
  settings_.connection.server = UnusedAddress();
  settings_.count = 3;
  const Report report = Run();
  EXPECT_EQ(report.count(Outcome::kAbandoned), 3);
  EXPECT_THAT(report.Violations(), ElementsAre("nothing was accepted"));
}

}  // namespace
}  // namespace antidiffusion
