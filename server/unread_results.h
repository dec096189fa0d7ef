// The results that calls are sending out of memory: what slow readers make the server hold.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "base/mutex.h"

namespace antidiffusion {

// A call holds a chunk or two of its own; the image itself is its job's and shared, but cannot be
// let go while a call sends it. A result that is sent out of the job store is not counted.
// Thread-safe.
class UnreadResults {
 public:
  // `limit`: bytes above which no new work should be taken in.
  explicit UnreadResults(int64_t limit) : limit_(limit) {}

  // `reader` sends the result of `job`, of so many bytes, until Leave. Both are known by their
  // addresses; once a reader.
  void Add(const void* reader, const void* job, int64_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  // Nothing where it was never added.
  void Leave(const void* reader) ABSL_LOCKS_EXCLUDED(mutex_);

  // A result counts once, however many readers it has.
  int64_t bytes() const ABSL_LOCKS_EXCLUDED(mutex_);
  bool full() const { return bytes() > limit_; }

 private:
  struct Held {
    int64_t bytes = 0;
    int readers = 0;
  };

  const int64_t limit_;
  mutable Mutex mutex_;
  std::unordered_map<const void*, const void*> job_of_ ABSL_GUARDED_BY(mutex_);  // by reader
  std::unordered_map<const void*, Held> held_ ABSL_GUARDED_BY(mutex_);           // by job
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace antidiffusion
