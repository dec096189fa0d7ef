// The one thread of a worker process that computes.
#pragma once

#include <deque>
#include <functional>

#include "base/mutex.h"

namespace antidiffusion {

// Runs what is posted, in order, on the thread that calls Run: torch keeps threads of its own for
// each thread that calls it, and settings, too. Thread-safe.
class EngineThread {
 public:
  void Post(std::function<void()> task) ABSL_LOCKS_EXCLUDED(mutex_);

  // Until Stop; what was posted before it still runs.
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // The next task, nullptr once stopped.
  std::function<void()> Take() ABSL_LOCKS_EXCLUDED(mutex_);

  Mutex mutex_;
  CondVar changed_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace antidiffusion
