#include "server/database_threads.h"

#include <gtest/gtest.h>

#include <atomic>

#include "base/mutex.h"
#include "server/errors.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

// Holds the only thread until it is let go.
class Gate {
 public:
  void Wait() {
    MutexLock lock(mutex_);
    while (!open_) opened_.Wait(lock);
  }
  void Open() {
    MutexLock lock(mutex_);
    open_ = true;
    opened_.NotifyAll();
  }

 private:
  Mutex mutex_;
  CondVar opened_;
  bool open_ ABSL_GUARDED_BY(mutex_) = false;
};

TEST(DatabaseThreadsTest, MoreThanMayWaitIsRefusedWithTheTimeToComeBack) {
  Gate started;
  Gate gate;
  std::atomic<int> done = 0;
  DatabaseThreads threads(1, {.tasks = 2, .bytes = 100});
  ASSERT_THAT(threads.Post([&] {
    started.Open();
    gate.Wait();
  }),
              IsOk());
  started.Wait();
  EXPECT_THAT(threads.Post([&] { ++done; }, 90), IsOk());
  EXPECT_THAT(threads.Post([&] { ++done; }, 20), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(threads.Post([&] { ++done; }), IsOk());
  const absl::Status refused = threads.Post([&] { ++done; });
  EXPECT_THAT(refused, HasReason(reason::kStoreFailed));
  EXPECT_TRUE(GetRetryDelay(refused).has_value());
  threads.PostAlways([&] { ++done; });
  EXPECT_FALSE(threads.WaitIdle(absl::ZeroDuration()));
  gate.Open();
  EXPECT_TRUE(threads.WaitIdle(absl::InfiniteDuration()));
  EXPECT_EQ(done, 3);
}

TEST(DatabaseThreadsTest, WhatWasTakenIsDoneBeforeItStopsAndWhatMustBeDoneAfterwardsToo) {
  std::atomic<int> done = 0;
  DatabaseThreads threads(2, {});
  for (int i = 0; i < 100; ++i) threads.PostAlways([&] { ++done; });
  threads.Stop();
  EXPECT_EQ(done, 100);
  EXPECT_THAT(threads.Post([&] { ++done; }), HasReason(reason::kDraining));
  threads.PostAlways([&] { ++done; });
  EXPECT_EQ(done, 101);
}

}  // namespace
}  // namespace antidiffusion
