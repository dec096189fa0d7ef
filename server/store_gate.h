// Where whoever needs a job to be stored waits for it: its worker, and the calls that answer for
// it.
#pragma once

#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "base/mutex.h"

namespace antidiffusion {

// Open, unless Close was called. Thread-safe.
class StoreGate {
 public:
  // Before anybody waits.
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);

  // Once; `status`: whether the job is stored.
  void Open(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

  // Waits until it is open.
  absl::Status Wait() ABSL_LOCKS_EXCLUDED(mutex_);

  // Calls `then` once it is open: now, or on the thread that opens it.
  void WhenOpen(std::function<void(const absl::Status&)> then) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  Mutex mutex_;
  CondVar opened_;
  bool open_ ABSL_GUARDED_BY(mutex_) = true;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::function<void(const absl::Status&)>> waiting_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace antidiffusion
