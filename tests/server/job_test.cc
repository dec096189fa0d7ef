#include "server/job.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "server/errors.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

class JobTest : public ::testing::Test {
 protected:
  std::unique_ptr<Job> MakeJob() {
    JobRequest request;
    request.image = "bytes";
    request.model = "model";
    return std::make_unique<Job>(
        std::move(request), absl::InfiniteFuture(), std::nullopt, [this] { return now_; },
        [this](const Job&, const absl::Status& status) { ends_.push_back(status); });
  }

  // The next event as a word, "-" when there is none.
  static std::string Next(Job& job) {
    const Delivery delivery = job.Take();
    if (!delivery.event.has_value()) {
      return delivery.final_status.has_value()
                 ? absl::StatusCodeToString(delivery.final_status->code())
                 : "-";
    }
    const auto& what = delivery.event->what;
    if (std::holds_alternative<QueuedEvent>(what)) {
      return "queued" + std::to_string(std::get<QueuedEvent>(what).position);
    }
    if (std::holds_alternative<RunningEvent>(what)) return "running";
    if (std::holds_alternative<Progress>(what)) {
      return "progress" + std::to_string(std::get<Progress>(what).step);
    }
    return delivery.final_status == absl::OkStatus() ? "result" : "result without OK";
  }

  static Progress Step(int step) {
    Progress progress;
    progress.step = step;
    return progress;
  }

  absl::Time now_ = absl::FromUnixSeconds(1'000'000);
  std::vector<absl::Status> ends_;
};

TEST_F(JobTest, TellsItsLifeInOrder) {
  const auto job = MakeJob();
  job->SetQueued({0, 0});
  job->Start({"model", "cpu"});
  job->Report(Step(1));
  EXPECT_EQ(Next(*job), "queued0");
  EXPECT_EQ(Next(*job), "running");
  EXPECT_EQ(Next(*job), "progress1");
  EXPECT_EQ(Next(*job), "-");
  job->Succeed({});
  EXPECT_EQ(Next(*job), "result");
  EXPECT_EQ(Next(*job), "-");
}

TEST_F(JobTest, CoalescesProgressButKeepsTheResult) {
  const auto job = MakeJob();
  job->Start({"model", "cpu"});
  EXPECT_EQ(Next(*job), "running");
  for (int step = 1; step <= 100; ++step) job->Report(Step(step));
  EXPECT_EQ(Next(*job), "progress100");
  job->Report(Step(101));
  job->Succeed({});
  EXPECT_EQ(Next(*job), "result") << "outdated progress is left out";
}

TEST_F(JobTest, NumbersWhatItProduces) {
  const auto job = MakeJob();
  job->SetQueued({0, 0});
  EXPECT_EQ(job->Take().event->sequence, 1u);
  job->Start({"model", "cpu"});
  job->Report(Step(1));
  job->Report(Step(2));
  EXPECT_EQ(job->Take().event->sequence, 2u);
  EXPECT_EQ(job->Take().event->sequence, 4u) << "3 was coalesced";
}

TEST_F(JobTest, ALostAttemptBeginsAgainAtAHigherSequence) {
  const auto job = MakeJob();
  EXPECT_EQ(job->attempts(), 0);
  job->SetQueued({0, 0});
  job->Start({"model", "cpu"});
  job->Report(Step(5));
  while (job->Take().event.has_value()) {
  }
  job->Report(Step(6));
  job->Restart();
  EXPECT_EQ(Next(*job), "-") << "what the lost attempt had to tell is outdated";
  job->SetQueued({0, 0});
  EXPECT_EQ(job->Take().event->sequence, 5u);
  job->Start({"model", "cpu"});
  EXPECT_EQ(job->attempts(), 2);
  EXPECT_EQ(Next(*job), "running");
  job->Report(Step(1));
  EXPECT_EQ(Next(*job), "progress1");
  job->Succeed({});
  job->Restart();
  EXPECT_EQ(Next(*job), "result") << "an end is not taken back";
}

TEST_F(JobTest, LeavesOutAPositionThatIsOver) {
  const auto job = MakeJob();
  job->SetQueued({2, 0});
  EXPECT_EQ(Next(*job), "queued2");
  job->SetQueued({1, 0});
  job->Start({"model", "cpu"});
  EXPECT_EQ(Next(*job), "running");
}

TEST_F(JobTest, FailureBeforeTheFirstMessageHasNoMessages) {
  const auto job = MakeJob();
  job->SetQueued({0, 0});
  job->Fail(DeadlinePassedError("queue"));
  EXPECT_EQ(Next(*job), "DEADLINE_EXCEEDED");
  EXPECT_EQ(Next(*job), "-");
}

TEST_F(JobTest, OnlyTheFirstEndCounts) {
  const auto job = MakeJob();
  job->Fail(absl::InternalError("first"));
  job->Succeed({});
  job->Fail(absl::InternalError("third"));
  ASSERT_EQ(ends_.size(), 1u);
  EXPECT_EQ(ends_.front().message(), "first");
  EXPECT_EQ(Next(*job), "INTERNAL");
}

TEST_F(JobTest, CancelKeepsItsFirstReasonAndItsTime) {
  const auto job = MakeJob();
  EXPECT_FALSE(job->stop_token().stop_requested());
  job->Cancel(CallerGoneError());
  job->Cancel(ShutdownError());
  EXPECT_TRUE(job->stop_token().stop_requested());
  EXPECT_THAT(*job->cancel_reason(), HasReason(reason::kCancelled));
  now_ += absl::Seconds(3);
  EXPECT_EQ(job->since_cancel(), absl::Seconds(3));
}

TEST_F(JobTest, CancelAfterTheEndIsNothing) {
  const auto job = MakeJob();
  job->Succeed({});
  job->Cancel(CallerGoneError());
  EXPECT_FALSE(job->cancel_reason().has_value());
}

TEST_F(JobTest, RefreshRepeatsTheLatestEvent) {
  const auto job = MakeJob();
  job->SetQueued({4, 0});
  EXPECT_EQ(Next(*job), "queued4");
  job->Refresh();
  EXPECT_EQ(Next(*job), "queued4");
  job->Start({"model", "cpu"});
  EXPECT_EQ(Next(*job), "running");
  Progress progress = Step(7);
  progress.eta_seconds = 10;
  job->Report(progress);
  EXPECT_EQ(Next(*job), "progress7");
  now_ += absl::Seconds(4);
  job->Refresh();
  const Delivery again = job->Take();
  EXPECT_EQ(std::get<Progress>(again.event->what).step, 7);
  EXPECT_EQ(std::get<Progress>(again.event->what).eta_seconds, 6) << "4 of the 10 s are over";
}

TEST_F(JobTest, NoListenerIsCalledOnceItIsTakenBack) {
  const auto job = MakeJob();
  std::atomic<bool> taken_back = false;
  std::atomic<int> late_calls = 0;
  job->SetListener([&] { late_calls += taken_back ? 1 : 0; });
  std::jthread worker([&] {
    for (int step = 0; step < 1000; ++step) job->Report(Step(step));
  });
  job->SetListener(nullptr);
  taken_back = true;
  worker.join();
  EXPECT_EQ(late_calls, 0);
}

TEST_F(JobTest, NamesAreLongAndDiffer) {
  std::set<std::string> names;
  for (int i = 0; i < 100; ++i) names.insert(MakeJob()->name());
  EXPECT_EQ(names.size(), 100u);
  EXPECT_EQ(names.begin()->size(), 32u) << "128 bits in hex";
}

}  // namespace
}  // namespace antidiffusion
