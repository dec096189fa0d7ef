// The calls that last until somebody has read their answer.
#pragma once

#include <memory>
#include <unordered_map>

#include "absl/time/time.h"
#include "base/mutex.h"

namespace antidiffusion {

// A call whose reader may be slow.
class ReaderCall {
 public:
  ReaderCall() = default;
  virtual ~ReaderCall() = default;
  ReaderCall(const ReaderCall&) = delete;
  ReaderCall& operator=(const ReaderCall&) = delete;

  // Called about every second, also before the call begins and once after it is done.
  virtual void Tick(absl::Time now) = 0;
};

// Shares each call with the tick that looks at it. Outlives the calls. Thread-safe.
class ReaderCalls {
 public:
  ReaderCalls() = default;
  ~ReaderCalls();
  ReaderCalls(const ReaderCalls&) = delete;
  ReaderCalls& operator=(const ReaderCalls&) = delete;

  void Add(std::shared_ptr<ReaderCall> call) ABSL_LOCKS_EXCLUDED(mutex_);
  // gRPC needs `call` no longer: forgets it, which may destroy it.
  void Remove(const ReaderCall* call) ABSL_LOCKS_EXCLUDED(mutex_);

  void Tick(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);

  // False when calls are still open after `timeout`.
  bool WaitIdle(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  Mutex mutex_;
  CondVar idle_;
  std::unordered_map<const ReaderCall*, std::shared_ptr<ReaderCall>> calls_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace antidiffusion
