// The threads on which calls wait for the database, so that those of gRPC need not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/mutex.h"

namespace antidiffusion {

// Thread-safe.
class DatabaseThreads {
 public:
  using Task = std::function<void()>;

  struct Limits {
    size_t tasks = 1024;                 // of callers, that wait
    int64_t bytes = int64_t{512} << 20;  // that those hold
  };

  DatabaseThreads(int threads, const Limits& limits);
  // Does what waits, then ends.
  ~DatabaseThreads() { Stop(); }
  DatabaseThreads(const DatabaseThreads&) = delete;
  DatabaseThreads& operator=(const DatabaseThreads&) = delete;

  // UNAVAILABLE, with the time after which to try again, where too many wait or after Stop: the
  // task is then not run.
  // `bytes`: that it holds.
  absl::Status Post(Task task, int64_t bytes = 0) ABSL_LOCKS_EXCLUDED(mutex_);

  // For what has to be done, however many wait. After Stop it is run at once, by the caller.
  void PostAlways(Task task) ABSL_LOCKS_EXCLUDED(mutex_);

  // False where something is still waiting or under way after `timeout`.
  bool WaitIdle(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_);

  // Returns once everything that was posted is done.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Main() ABSL_LOCKS_EXCLUDED(mutex_);

  struct Waiting {
    Task task;
    int64_t bytes = 0;
  };

  const Limits limits_;
  Mutex mutex_;
  CondVar changed_;
  CondVar idle_;
  int running_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<Waiting> waiting_ ABSL_GUARDED_BY(mutex_);
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // of those
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::jthread> threads_;  // of the thread that makes and stops it
};

}  // namespace antidiffusion
