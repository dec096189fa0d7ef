#include "server/job.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "server/database/job_database.h"
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
    return std::make_unique<Job>(std::move(request), absl::InfiniteFuture(), std::nullopt,
                                 [this] { return now_; });
  }

  // The next event for the reader at cursor_, as a word; "-" when there is none.
  std::string Next(const Job& job) { return Next(job, cursor_); }

  static std::string Next(const Job& job, uint64_t& cursor) {
    const Delivery delivery = job.EventAfter(cursor);
    if (delivery.event.has_value()) cursor = delivery.event->sequence;
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
  uint64_t cursor_ = 0;
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
  EXPECT_EQ(Next(*job), "OK") << "nothing comes after the result";
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
  EXPECT_EQ(job->EventAfter(0).event->sequence, 1u);
  job->Start({"model", "cpu"});
  job->Report(Step(1));
  job->Report(Step(2));
  EXPECT_EQ(job->EventAfter(1).event->sequence, 2u);
  EXPECT_EQ(job->EventAfter(2).event->sequence, 4u) << "3 was coalesced";
}

TEST_F(JobTest, EveryReaderHearsEverything) {
  const auto job = MakeJob();
  uint64_t early = 0;
  uint64_t late = 0;
  job->SetQueued({0, 0});
  EXPECT_EQ(Next(*job, early), "queued0");
  job->Start({"model", "cpu"});
  job->Report(Step(5));
  EXPECT_EQ(Next(*job, early), "running");
  EXPECT_EQ(Next(*job, early), "progress5");
  EXPECT_EQ(Next(*job, late), "queued0") << "it names the job";
  job->Succeed({});
  EXPECT_EQ(Next(*job, late), "running");
  EXPECT_EQ(Next(*job, late), "result");
  EXPECT_EQ(Next(*job, early), "result");
  EXPECT_EQ(early, late);
}

TEST_F(JobTest, ABrokenReaderGoesOnWhereItWas) {
  const auto job = MakeJob();
  job->SetQueued({0, 0});
  job->Start({"model", "cpu"});
  job->Report(Step(1));
  while (Next(*job) != "-") {
  }
  uint64_t again = cursor_;
  EXPECT_EQ(Next(*job, again), "-") << "nothing comes twice";
  job->Report(Step(2));
  EXPECT_EQ(Next(*job, again), "progress2");
}

TEST_F(JobTest, ASecondAttemptGoesOnCounting) {
  const auto job = MakeJob();
  job->SetQueued({0, 0});
  job->Start({"model", "cpu"});
  job->Report(Step(7));
  while (Next(*job) != "-") {
  }
  EXPECT_EQ(job->attempts(), 1);
  EXPECT_NE(job->image(), nullptr);
  job->Restart();
  EXPECT_EQ(job->Snapshot().state, JobState::kQueued);
  EXPECT_EQ(Next(*job), "-");
  job->SetQueued({1, 0});
  EXPECT_EQ(Next(*job), "queued1");
  job->Start({"model", "cpu"});
  EXPECT_EQ(Next(*job), "running");
  EXPECT_EQ(Next(*job), "-") << "the progress of the first attempt is forgotten";
  EXPECT_EQ(job->attempts(), 2);
  job->Succeed({});
  EXPECT_EQ(Next(*job), "result");
}

TEST_F(JobTest, ASnapshotTellsTheState) {
  const auto job = MakeJob();
  job->SetQueued({3, 60});
  JobSnapshot now = job->Snapshot();
  EXPECT_EQ(now.state, JobState::kQueued);
  EXPECT_EQ(now.queued.position, 3);
  EXPECT_FALSE(now.started.has_value());
  now_ += absl::Seconds(5);
  job->Start({"model", "cpu"});
  job->Report(Step(2));
  now = job->Snapshot();
  EXPECT_EQ(now.state, JobState::kRunning);
  EXPECT_EQ(now.progress.step, 2);
  EXPECT_EQ(*now.started, now_);
  now_ += absl::Seconds(5);
  JobResult result;
  result.seed = 9;
  job->Succeed(std::move(result));
  now = job->Snapshot();
  EXPECT_EQ(now.state, JobState::kSucceeded);
  EXPECT_EQ(*now.ended, now_);
  EXPECT_EQ(now.result->seed, 9u);
  EXPECT_EQ(now.sequence, static_cast<uint64_t>(kSequenceSpan)) << "above all that came before";
  EXPECT_EQ(job->image(), nullptr) << "an ended job holds no image";
}

TEST_F(JobTest, AnEndHasAName) {
  EXPECT_EQ(EndStateOf(absl::OkStatus()), JobState::kSucceeded);
  EXPECT_EQ(EndStateOf(DeadlinePassedError("queue")), JobState::kExpired);
  EXPECT_EQ(EndStateOf(CallerGoneError()), JobState::kCancelled);
  EXPECT_EQ(EndStateOf(ShutdownError()), JobState::kCancelled);
  EXPECT_EQ(EndStateOf(absl::InternalError("x")), JobState::kFailed);
}

TEST_F(JobTest, ALostAttemptBeginsAgainAtAHigherSequence) {
  const auto job = MakeJob();
  EXPECT_EQ(job->attempts(), 0);
  job->SetQueued({0, 0});
  job->Start({"model", "cpu"});
  job->Report(Step(5));
  while (Next(*job) != "-") {
  }
  job->Report(Step(6));
  job->Restart();
  EXPECT_EQ(Next(*job), "-") << "what the lost attempt had to tell is outdated";
  job->SetQueued({0, 0});
  EXPECT_EQ(Next(*job), "queued0");
  EXPECT_EQ(cursor_, 5u);
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
}

TEST_F(JobTest, OnlyTheFirstEndCounts) {
  const auto job = MakeJob();
  job->Fail(absl::InternalError("first"));
  job->Succeed({});
  job->Fail(absl::InternalError("third"));
  EXPECT_EQ(job->Snapshot().status.message(), "first");
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
  const Delivery again = job->EventAfter(cursor_);
  EXPECT_EQ(std::get<Progress>(again.event->what).step, 7);
  EXPECT_EQ(std::get<Progress>(again.event->what).eta_seconds, 6) << "4 of the 10 s are over";
}

TEST_F(JobTest, NoListenerIsCalledOnceItIsTakenBack) {
  const auto job = MakeJob();
  std::atomic<bool> taken_back = false;
  std::atomic<int> late_calls = 0;
  const int id = job->AddListener([&] { late_calls += taken_back ? 1 : 0; });
  std::jthread worker([&] {
    for (int step = 0; step < 1000; ++step) job->Report(Step(step));
  });
  job->RemoveListener(id);
  taken_back = true;
  worker.join();
  EXPECT_EQ(late_calls, 0);
}

// What the database says of it, for who watches where it does not run.
TEST_F(JobTest, FollowsWhatIsSaidOfIt) {
  const auto job = MakeJob();
  job->SetQueued({2, 0});
  EXPECT_EQ(Next(*job), "queued2");
  const auto span = static_cast<uint64_t>(kSequenceSpan);
  JobNews news = {.state = JobState::kRunning, .attempts = 1, .sequence = span, .started = now_};
  job->Follow(news);
  EXPECT_EQ(Next(*job), "-") << "its worker has not told yet what it is";
  news.sequence = span + 5;
  news.running = RunningEvent{"model", "cpu"};
  news.progress = Step(3);
  job->Follow(news);
  EXPECT_EQ(Next(*job), "running");
  EXPECT_EQ(cursor_, span);
  EXPECT_EQ(Next(*job), "progress3");
  EXPECT_EQ(cursor_, span + 5);
  job->Follow(news);
  EXPECT_EQ(Next(*job), "-") << "nothing new";
  job->Follow({.state = JobState::kQueued, .attempts = 1, .sequence = 2 * span});
  job->SetQueued({1, 0});
  EXPECT_EQ(Next(*job), "queued1");
  news = {.state = JobState::kSucceeded, .attempts = 2, .sequence = 4 * span, .started = now_};
  news.ended = now_;
  news.result = std::make_shared<const JobResult>();
  job->Follow(news);
  EXPECT_EQ(Next(*job), "result");
  EXPECT_EQ(cursor_, 4 * span);
  EXPECT_EQ(job->attempts(), 2);
}

TEST_F(JobTest, AClaimBeginsAnewWhateverWasCancelledBefore) {
  const auto job = MakeJob();
  const auto span = static_cast<uint64_t>(kSequenceSpan);
  job->Claim({.attempts = 1, .sequence = span, .deadline = now_ + absl::Hours(1)});
  job->Start({"model", "cpu"});
  const std::stop_token first = job->stop_token();
  job->Cancel(LeaseLostError());
  EXPECT_TRUE(first.stop_requested());
  job->Claim({.attempts = 2, .sequence = 3 * span, .deadline = now_ + absl::Hours(2)});
  EXPECT_FALSE(job->stop_token().stop_requested());
  EXPECT_FALSE(job->cancel_reason().has_value());
  EXPECT_EQ(job->deadline(), now_ + absl::Hours(2));
  job->Start({"model", "cpu"});
  EXPECT_EQ(Next(*job), "running");
  EXPECT_EQ(cursor_, 3 * span);
  EXPECT_EQ(job->attempts(), 2);
}

TEST_F(JobTest, NamesAreLongAndDiffer) {
  std::set<std::string> names;
  for (int i = 0; i < 100; ++i) names.insert(MakeJob()->name());
  EXPECT_EQ(names.size(), 100u);
  EXPECT_EQ(names.begin()->size(), 32u) << "128 bits in hex";
}

}  // namespace
}  // namespace antidiffusion
