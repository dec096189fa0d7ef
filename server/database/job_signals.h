// Who wants to know that a job has changed, and is told.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "base/mutex.h"

namespace antidiffusion {

enum class JobPhase {
  kQueued = 0,
  kRunning = 1,
  kSucceeded = 2,
  kFailed = 3,
  kCancelled = 4,
  kExpired = 5
};

struct JobSignal {
  std::string job;  // "": signals may have been missed, and anything may have changed
  JobPhase phase = JobPhase::kQueued;  // kCancelled also where it runs and is to stop
  int64_t sequence = 0;

  bool operator==(const JobSignal&) const = default;

  // As it travels between processes, and back; nullopt: of a later version, perhaps.
  std::string ToText() const;
  static std::optional<JobSignal> FromText(absl::string_view text);
};

// Signals are hints: none is needed for correctness, some come twice, and some never. Thread-safe.
class JobSignals {
 public:
  // Called on any thread, one at a time, and not to call back in here or to wait for anything.
  using Listener = std::function<void(const JobSignal& signal)>;

  int Subscribe(Listener listener) ABSL_LOCKS_EXCLUDED(mutex_);
  // After it has returned no call of the listener is running and none will come.
  void Unsubscribe(int id) ABSL_LOCKS_EXCLUDED(mutex_);

  void Publish(const JobSignal& signal) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  Mutex mutex_;
  std::map<int, Listener> listeners_ ABSL_GUARDED_BY(mutex_);
  int next_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace antidiffusion
