#include "server/job_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "server/errors.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1'000'000);

std::shared_ptr<Job> MakeJob(size_t bytes = 10, std::optional<double> expected = std::nullopt,
                             absl::Time deadline = absl::InfiniteFuture()) {
  JobRequest request;
  request.image = std::string(bytes, 'x');
  request.model = "model";
  return std::make_shared<Job>(
      std::move(request), deadline, expected, [] { return kStart; }, nullptr);
}

std::shared_ptr<Job> JobOf(const std::string& tenant, std::optional<double> expected = 1,
                           JobPriority priority = JobPriority::kInteractive) {
  JobRequest request;
  request.image = "0123456789";
  request.model = "model";
  request.tenant = tenant;
  request.priority = priority;
  return std::make_shared<Job>(
      std::move(request), absl::InfiniteFuture(), expected, [] { return kStart; }, nullptr);
}

JobQueue::ShareOf EachHas(const TenantShare& share) {
  return [share](const std::string&) { return share; };
}

QueuedEvent LastQueued(const Job& job) {
  const Delivery delivery = job.EventAfter(0);
  return std::get<QueuedEvent>(delivery.event->what);
}

TEST(JobQueueTest, PopsInTheOrderOfPushes) {
  JobQueue queue({});
  const auto first = MakeJob();
  const auto second = MakeJob();
  EXPECT_THAT(queue.TryPush(first), IsOk());
  EXPECT_THAT(queue.TryPush(second), IsOk());
  EXPECT_EQ(queue.Pop(), first);
  EXPECT_EQ(queue.Pop(), second);
}

TEST(JobQueueTest, RefusesAboveTheCountWithARetryDelay) {
  JobQueue queue({.count = 1});
  EXPECT_THAT(queue.TryPush(MakeJob()), IsOk());
  const absl::Status status = queue.TryPush(MakeJob());
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(status, HasReason(reason::kQueueFull));
  EXPECT_TRUE(GetRetryDelay(status).has_value());
  queue.Pop();
  EXPECT_THAT(queue.TryPush(MakeJob()), IsOk()) << "a place was freed";
}

TEST(JobQueueTest, RefusesAboveTheBytesAndCountsThemBack) {
  JobQueue queue({.count = 10, .bytes = 100});
  const auto first = MakeJob(60);
  EXPECT_THAT(queue.TryPush(first), IsOk());
  const absl::Status status = queue.TryPush(MakeJob(41));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(status, HasReason(reason::kQueueBytesFull));
  EXPECT_THAT(queue.TryPush(MakeJob(40)), IsOk()) << "exactly full";
  EXPECT_EQ(queue.load().bytes, 100);
  EXPECT_TRUE(queue.Remove(*first));
  EXPECT_EQ(queue.load().bytes, 40);
}

TEST(JobQueueTest, ClosedRefusesButHandsOutWhatWaits) {
  JobQueue queue({});
  const auto waiting = MakeJob();
  EXPECT_THAT(queue.TryPush(waiting), IsOk());
  queue.Close();
  const absl::Status status = queue.TryPush(MakeJob());
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(status, HasReason(reason::kDraining));
  EXPECT_EQ(queue.Pop(), waiting);
  EXPECT_EQ(queue.Pop(), nullptr);
}

TEST(JobQueueTest, AWaitingWorkerCanBeInterrupted) {
  JobQueue queue({});
  std::atomic<bool> interrupted = false;
  std::jthread worker([&] {
    const auto is_interrupted = [&] { return interrupted.load(); };
    EXPECT_EQ(queue.PopUnless(is_interrupted, absl::InfiniteDuration()), nullptr);
  });
  interrupted = true;
  queue.Wake();
  worker.join();
  EXPECT_THAT(queue.TryPush(MakeJob()), IsOk());
  EXPECT_EQ(queue.PopUnless([] { return true; }, absl::InfiniteDuration()), nullptr);
  EXPECT_EQ(queue.load().waiting, 1u) << "who is interrupted takes no job";
}

TEST(JobQueueTest, AWorkerWaitsNoLongerThanItWantsTo) {
  JobQueue queue({});
  EXPECT_EQ(queue.PopUnless([] { return false; }, absl::ZeroDuration()), nullptr);
  EXPECT_FALSE(queue.finished());
}

TEST(JobQueueTest, FinishedOnceClosedAndEmpty) {
  JobQueue queue({});
  EXPECT_THAT(queue.TryPush(MakeJob()), IsOk());
  EXPECT_FALSE(queue.WaitFinished(absl::ZeroDuration()));
  queue.Close();
  EXPECT_FALSE(queue.finished());
  std::jthread worker([&] { EXPECT_TRUE(queue.WaitFinished(absl::InfiniteDuration())); });
  EXPECT_NE(queue.Pop(), nullptr);
  worker.join();
  EXPECT_TRUE(queue.finished());
}

TEST(JobQueueTest, CloseWakesAWaitingWorker) {
  JobQueue queue({});
  std::jthread worker([&] { EXPECT_EQ(queue.Pop(), nullptr); });
  queue.Close();
}

TEST(JobQueueTest, PositionCountsRunningJobsAndMovesUp) {
  JobQueue queue({});
  const auto running = MakeJob();
  const auto waiting = MakeJob();
  EXPECT_THAT(queue.TryPush(running), IsOk());
  EXPECT_EQ(LastQueued(*running).position, 0);
  queue.Pop();
  EXPECT_THAT(queue.TryPush(waiting), IsOk());
  EXPECT_EQ(LastQueued(*waiting).position, 1);
  queue.Done(*running);
  EXPECT_EQ(LastQueued(*waiting).position, 0);
}

TEST(JobQueueTest, EtaIsTheWorkBeforePlusItsOwn) {
  JobQueue queue({});
  const auto first = MakeJob(10, 5);
  const auto second = MakeJob(10, 7);
  EXPECT_THAT(queue.TryPush(first), IsOk());
  EXPECT_THAT(queue.TryPush(second), IsOk());
  EXPECT_EQ(LastQueued(*first).eta_seconds, 5);
  EXPECT_EQ(LastQueued(*second).eta_seconds, 12);
  EXPECT_EQ(queue.WaitSeconds(), 12);
}

TEST(JobQueueTest, EtaIsUnknownBehindAJobOfUnknownLength) {
  JobQueue queue({});
  const auto first = MakeJob(10, std::nullopt);
  const auto second = MakeJob(10, 7);
  EXPECT_THAT(queue.TryPush(first), IsOk());
  EXPECT_THAT(queue.TryPush(second), IsOk());
  EXPECT_EQ(LastQueued(*second).eta_seconds, 0);
  EXPECT_EQ(queue.WaitSeconds(), std::nullopt);
}

TEST(JobQueueTest, WorkersShareTheWork) {
  JobQueue queue({.workers = 2});
  EXPECT_EQ(queue.WaitSeconds(), 0);
  EXPECT_THAT(queue.TryPush(MakeJob(10, 6)), IsOk());
  EXPECT_EQ(queue.WaitSeconds(), 0) << "the second worker is free";
  EXPECT_THAT(queue.TryPush(MakeJob(10, 8)), IsOk());
  EXPECT_EQ(queue.WaitSeconds(), 7);
}

TEST(JobQueueTest, ARunningJobIsJudgedByItsProgress) {
  JobQueue queue({});
  const auto running = MakeJob(10, 100);
  EXPECT_THAT(queue.TryPush(running), IsOk());
  queue.Pop();
  Progress progress;
  progress.fraction = 0.9;
  progress.eta_seconds = 4;
  running->Report(progress);
  EXPECT_EQ(queue.WaitSeconds(), 4);
}

TEST(JobQueueTest, TakesOutExpiredJobsOnly) {
  JobQueue queue({});
  const auto early = MakeJob(10, std::nullopt, kStart + absl::Seconds(1));
  const auto late = MakeJob(10, std::nullopt, kStart + absl::Seconds(9));
  EXPECT_THAT(queue.TryPush(early), IsOk());
  EXPECT_THAT(queue.TryPush(late), IsOk());
  const auto expired = queue.TakeExpired(kStart + absl::Seconds(1));
  ASSERT_EQ(expired.size(), 1u);
  EXPECT_EQ(expired.front(), early);
  EXPECT_EQ(queue.load().waiting, 1u);
}

TEST(JobQueueTest, ARunningJobCannotBeRemoved) {
  JobQueue queue({});
  const auto job = MakeJob();
  EXPECT_THAT(queue.TryPush(job), IsOk());
  queue.Pop();
  EXPECT_FALSE(queue.Remove(*job));
  EXPECT_EQ(queue.load().running, 1u);
  EXPECT_EQ(queue.running().front(), job);
}

TEST(JobQueueTest, EachJobReachesExactlyOneWorker) {
  constexpr int kJobs = 200;
  JobQueue queue({.count = kJobs, .workers = 4});
  std::atomic<int> popped = 0;
  {
    std::vector<std::jthread> threads;
    threads.reserve(4);
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        while (const auto job = queue.Pop()) {
          ++popped;
          queue.Done(*job);
        }
      });
    }
    std::vector<std::jthread> producers;
    producers.reserve(2);
    for (int i = 0; i < 2; ++i) {
      producers.emplace_back([&] {
        for (int j = 0; j < kJobs / 2; ++j) EXPECT_THAT(queue.TryPush(MakeJob()), IsOk());
      });
    }
    producers.clear();
    queue.Close();
  }
  EXPECT_EQ(popped, kJobs);
  EXPECT_EQ(queue.load().running, 0u);
  EXPECT_EQ(queue.load().bytes, 0);
}

TEST(JobQueueTest, ATenantsShareIsRefusedByCountWhileOthersHaveRoom) {
  JobQueue queue({}, EachHas({.max_waiting = 2}));
  EXPECT_THAT(queue.TryPush(JobOf("flood", 7)), IsOk());
  EXPECT_THAT(queue.TryPush(JobOf("flood", 7)), IsOk());
  queue.Pop();
  EXPECT_THAT(queue.TryPush(JobOf("flood", 7)), IsOk());
  const absl::Status status = queue.TryPush(JobOf("flood", 7));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(status, HasReason(reason::kTenantQueueFull));
  EXPECT_EQ(GetRetryDelay(status), absl::Seconds(7)) << "when its first waiting job should start";
  EXPECT_THAT(queue.TryPush(JobOf("quiet")), IsOk());
}

TEST(JobQueueTest, ATenantsShareIsRefusedByBytesButOneJobAlwaysFits) {
  JobQueue queue({}, EachHas({.max_waiting_bytes = 9}));
  EXPECT_THAT(queue.TryPush(JobOf("flood")), IsOk()) << "10 bytes, alone";
  EXPECT_THAT(queue.TryPush(JobOf("flood")), HasReason(reason::kTenantQueueFull));
  EXPECT_THAT(queue.TryPush(JobOf("quiet")), IsOk());
}

TEST(JobQueueTest, ATenantAtMaxRunningIsPassedOverUntilOneIsDone) {
  JobQueue queue({.workers = 2}, EachHas({.max_running = 1}));
  const auto first = JobOf("a");
  const auto second = JobOf("a");
  const auto other = JobOf("b");
  for (const auto& job : {first, second, other}) EXPECT_THAT(queue.TryPush(job), IsOk());
  EXPECT_EQ(queue.Pop(), first);
  EXPECT_EQ(queue.Pop(), other);
  std::jthread worker([&] { EXPECT_EQ(queue.Pop(), second); });
  queue.Done(*first);
}

TEST(JobQueueTest, ClosedAndHeldUpByMaxRunningItStillHandsOutAll) {
  JobQueue queue({.workers = 2}, EachHas({.max_running = 1}));
  const auto first = JobOf("a");
  const auto second = JobOf("a");
  EXPECT_THAT(queue.TryPush(first), IsOk());
  EXPECT_THAT(queue.TryPush(second), IsOk());
  EXPECT_EQ(queue.Pop(), first);
  queue.Close();
  std::jthread one([&] {
    while (const auto job = queue.Pop()) queue.Done(*job);
  });
  std::jthread two([&] {
    while (const auto job = queue.Pop()) queue.Done(*job);
  });
  queue.Done(*first);
  one.join();
  two.join();
  EXPECT_EQ(queue.load().waiting, 0u);
  EXPECT_EQ(queue.load().running, 0u);
}

TEST(JobQueueTest, PlacesFollowTheFairOrder) {
  JobQueue queue({});
  std::vector<std::shared_ptr<Job>> flood;
  for (int i = 0; i < 4; ++i) {
    flood.push_back(JobOf("flood", 2));
    EXPECT_THAT(queue.TryPush(flood.back()), IsOk());
  }
  const auto quiet = JobOf("quiet", 2);
  EXPECT_THAT(queue.TryPush(quiet), IsOk());
  const QueuedEvent place = LastQueued(*quiet);
  EXPECT_EQ(place.position, 1);
  EXPECT_EQ(place.eta_seconds, 4);
  EXPECT_EQ(LastQueued(*flood.back()).position, 4);
}

TEST(JobQueueTest, TheWaitDependsOnWhoAsksAndForWhat) {
  JobQueue queue({});
  for (int i = 0; i < 10; ++i) EXPECT_THAT(queue.TryPush(JobOf("flood", 3)), IsOk());
  EXPECT_EQ(queue.WaitSeconds("flood", JobPriority::kInteractive, 3), 30);
  EXPECT_EQ(queue.WaitSeconds("quiet", JobPriority::kInteractive, 3), 3);
  EXPECT_EQ(queue.WaitSeconds("quiet", JobPriority::kBatch, 3), 24) << "eight of ten";
}

TEST(JobQueueTest, TheWaitOfATenantCountsItsOwnCap) {
  JobQueue queue({.workers = 4}, EachHas({.max_running = 1}));
  for (int i = 0; i < 3; ++i) EXPECT_THAT(queue.TryPush(JobOf("a", 5)), IsOk());
  EXPECT_EQ(queue.WaitSeconds("a", JobPriority::kInteractive, 5), 15);
  EXPECT_EQ(queue.WaitSeconds("b", JobPriority::kInteractive, 5), 0);
}

TEST(JobQueueTest, WhatIsPutBackGoesFirstAndCountsAsWaiting) {
  JobQueue queue({.count = 2});
  const auto lost = JobOf("a");
  const auto next = JobOf("a");
  EXPECT_THAT(queue.TryPush(lost), IsOk());
  EXPECT_THAT(queue.TryPush(next), IsOk());
  EXPECT_EQ(queue.Pop(), lost);
  EXPECT_THAT(queue.TryPush(JobOf("b")), IsOk());
  queue.Close();
  queue.Requeue(lost);
  EXPECT_EQ(queue.load().waiting, 3u) << "over the limit and though closed";
  EXPECT_EQ(queue.load().running, 0u);
  EXPECT_EQ(queue.load().bytes, 30);
  EXPECT_EQ(queue.Pop(), lost);
}

TEST(JobQueueTest, LoadTellsTheClassesApart) {
  JobQueue queue({});
  EXPECT_THAT(queue.TryPush(JobOf("a")), IsOk());
  EXPECT_THAT(queue.TryPush(JobOf("a", 1, JobPriority::kBatch)), IsOk());
  EXPECT_THAT(queue.TryPush(JobOf("b", 1, JobPriority::kBatch)), IsOk());
  EXPECT_EQ(queue.load().waiting_of[0], 1u);
  EXPECT_EQ(queue.load().waiting_of[1], 2u);
}

TEST(JobQueueTest, AJobOfUnknownLengthIsChargedWhatItTook) {
  absl::Time now = kStart;
  JobQueue queue({}, nullptr, [&now] { return now; });
  std::vector<std::shared_ptr<Job>> jobs;
  for (const char* tenant : {"vague", "vague", "honest", "honest", "honest"}) {
    jobs.push_back(
        JobOf(tenant, tenant == std::string("vague") ? std::nullopt : std::optional<double>(20)));
    EXPECT_THAT(queue.TryPush(jobs.back()), IsOk());
  }
  EXPECT_EQ(queue.Pop(), jobs[0]);
  now += absl::Seconds(60);
  queue.Done(*jobs[0]);
  EXPECT_EQ(queue.Pop(), jobs[2]);
  EXPECT_EQ(queue.Pop(), jobs[3]);
  EXPECT_EQ(queue.Pop(), jobs[4]) << "three times twenty seconds first";
  EXPECT_EQ(queue.Pop(), jobs[1]);
}

}  // namespace
}  // namespace antidiffusion
