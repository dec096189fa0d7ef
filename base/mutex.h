// std::mutex and std::condition_variable with clang's thread-safety annotations.
//
// Why not absl::Mutex: Debian builds abseil without ThreadSanitizer hooks, so TSan sees no order
// through it and reports every guarded access. GCC ignores the annotations; clang-tidy checks them.
//
//   Mutex mutex_;
//   std::deque<Job> jobs_ ABSL_GUARDED_BY(mutex_);
//   ...
//   MutexLock lock(mutex_);
//   while (jobs_.empty()) not_empty_.Wait(lock);
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"

namespace antidiffusion {

class ABSL_LOCKABLE Mutex {
 public:
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

 private:
  friend class MutexLock;
  std::mutex mutex_;
};

// Holds `mutex` for its own lifetime.
class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : lock_(mutex.mutex_) {}
  ~MutexLock() ABSL_UNLOCK_FUNCTION() = default;
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  friend class CondVar;
  std::unique_lock<std::mutex> lock_;
};

// Waits may wake without cause: always wait in a loop that tests the condition.
class CondVar {
 public:
  void Wait(MutexLock& lock) { condition_.wait(lock.lock_); }

  // False when `timeout` passed without a notification; what is longer than a year is for ever (the
  // clock of the standard library would overflow, and return at once).
  bool WaitFor(MutexLock& lock, absl::Duration timeout) {
    if (timeout > absl::Hours(24 * 365)) {
      condition_.wait(lock.lock_);
      return true;
    }
    return condition_.wait_for(lock.lock_, absl::ToChronoNanoseconds(timeout)) ==
           std::cv_status::no_timeout;
  }
  void NotifyOne() { condition_.notify_one(); }
  void NotifyAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace antidiffusion
