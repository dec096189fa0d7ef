#include "server/unread_results.h"

namespace antidiffusion {

void UnreadResults::Add(const void* reader, const void* job, int64_t bytes) {
  MutexLock lock(mutex_);
  job_of_[reader] = job;
  Held& held = held_[job];
  if (held.readers++ > 0) return;
  held.bytes = bytes;
  bytes_ += bytes;
}

void UnreadResults::Leave(const void* reader) {
  MutexLock lock(mutex_);
  const auto found = job_of_.find(reader);
  if (found == job_of_.end()) return;
  const auto held = held_.find(found->second);
  job_of_.erase(found);
  if (--held->second.readers > 0) return;
  bytes_ -= held->second.bytes;
  held_.erase(held);
}

int64_t UnreadResults::bytes() const {
  MutexLock lock(mutex_);
  return bytes_;
}

}  // namespace antidiffusion
