// The calls that last until somebody has read their answer, and what is held for them.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "absl/time/time.h"
#include "base/mutex.h"
#include "server/result_room.h"

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
  // `max_unread_bytes`: of results that their readers have not taken yet.
  explicit ReaderCalls(int64_t max_unread_bytes) : room_(max_unread_bytes) {}
  ~ReaderCalls();
  ReaderCalls(const ReaderCalls&) = delete;
  ReaderCalls& operator=(const ReaderCalls&) = delete;

  void Add(std::shared_ptr<ReaderCall> call) ABSL_LOCKS_EXCLUDED(mutex_);
  // gRPC needs `call` no longer: gives back its room, and forgets it, which may destroy it.
  void Remove(const ReaderCall* call) ABSL_LOCKS_EXCLUDED(mutex_);

  // Room for a result of `bytes`; see ResultRoom. Remove gives it back.
  ResultRoom::Answer AskForRoom(const ReaderCall* call, int64_t bytes) {
    return room_.Ask(call, bytes);
  }
  int64_t unread_bytes() const { return room_.bytes(); }

  void Tick(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);

  // False when calls are still open after `timeout`.
  bool WaitIdle(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  ResultRoom room_;
  Mutex mutex_;
  CondVar idle_;
  std::unordered_map<const ReaderCall*, std::shared_ptr<ReaderCall>> calls_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace antidiffusion
