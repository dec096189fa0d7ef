#include "base/mutex.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace antidiffusion {
namespace {

class Counter {
 public:
  void Add() {
    MutexLock lock(mutex_);
    ++value_;
    if (value_ == kTarget) reached_.NotifyAll();
  }
  void WaitForTarget() {
    MutexLock lock(mutex_);
    while (value_ < kTarget) reached_.Wait(lock);
  }
  int value() {
    MutexLock lock(mutex_);
    return value_;
  }

  static constexpr int kTarget = 4000;

 private:
  Mutex mutex_;
  CondVar reached_;
  int value_ ABSL_GUARDED_BY(mutex_) = 0;
};

TEST(MutexTest, ExcludesAndWakes) {
  Counter counter;
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < Counter::kTarget / 4; ++i) counter.Add();
    });
  }
  counter.WaitForTarget();
  EXPECT_EQ(counter.value(), Counter::kTarget);
  for (std::thread& thread : threads) thread.join();
}

TEST(MutexTest, LockAndUnlockByHand) {
  Mutex mutex;
  mutex.Lock();
  mutex.Unlock();
  MutexLock lock(mutex);  // blocks for ever if Unlock did nothing
}

TEST(CondVarTest, WaitForGivesUpWithoutANotification) {
  Mutex mutex;
  CondVar never;
  MutexLock lock(mutex);
  // A spurious wake-up may answer true: asked until the time is up.
  while (never.WaitFor(lock, absl::Milliseconds(1))) {
  }
}

TEST(CondVarTest, NotifyOneEndsAWaitFor) {
  Mutex mutex;
  CondVar changed;
  bool done = false;
  std::thread other([&] {
    MutexLock lock(mutex);
    done = true;
    changed.NotifyOne();
  });
  {
    MutexLock lock(mutex);
    while (!done) ASSERT_TRUE(changed.WaitFor(lock, absl::Hours(1)));
  }
  other.join();
}

TEST(CondVarTest, WaitsForEverWhenToldTo) {
  Mutex mutex;
  CondVar changed;
  bool ready = false;
  std::jthread other;
  MutexLock lock(mutex);
  other = std::jthread([&] {
    MutexLock others_lock(mutex);  // not before the other waits
    ready = true;
    changed.NotifyAll();
  });
  while (!ready) EXPECT_TRUE(changed.WaitFor(lock, absl::InfiniteDuration()));
}

}  // namespace
}  // namespace antidiffusion
