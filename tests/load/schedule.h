// Things to do at a time: one thread runs them, any thread adds them.
#pragma once

#include <functional>
#include <map>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "base/mutex.h"

namespace antidiffusion {

// Thread-safe.
class Schedule {
 public:
  using Action = std::function<void()>;

  void At(absl::Time time, Action action);

  // Runs what is due, in order of time, on the calling thread, until Stop; what is left then is
  // dropped. Actions may add others.
  void Run();
  void Stop();

 private:
  Mutex mutex_;
  CondVar changed_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::multimap<absl::Time, Action> actions_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace antidiffusion
