#include "server/reader_calls.h"

#include <utility>
#include <vector>

#include "absl/time/clock.h"

namespace antidiffusion {

// gRPC has ended every call by now, in an order of its own that ThreadSanitizer cannot see. The
// lock shows it.
ReaderCalls::~ReaderCalls() { MutexLock lock(mutex_); }

void ReaderCalls::Add(std::shared_ptr<ReaderCall> call) {
  const ReaderCall* const key = call.get();
  MutexLock lock(mutex_);
  calls_[key] = std::move(call);
}

void ReaderCalls::Remove(const ReaderCall* call) {
  std::shared_ptr<ReaderCall> done;  // destroyed after the lock is given back
  MutexLock lock(mutex_);
  const auto found = calls_.find(call);
  done = std::move(found->second);
  calls_.erase(found);
  if (calls_.empty()) idle_.NotifyAll();
}

// The calls send from here, so the lock is not held meanwhile: who begins or ends waits for nobody.
void ReaderCalls::Tick(absl::Time now) {
  std::vector<std::shared_ptr<ReaderCall>> calls;
  {
    MutexLock lock(mutex_);
    calls.reserve(calls_.size());
    for (const auto& [key, call] : calls_) calls.push_back(call);
  }
  for (const std::shared_ptr<ReaderCall>& call : calls) call->Tick(now);
}

bool ReaderCalls::WaitIdle(absl::Duration timeout) {
  const absl::Time end = absl::Now() + timeout;
  MutexLock lock(mutex_);
  while (!calls_.empty() && absl::Now() < end) idle_.WaitFor(lock, end - absl::Now());
  return calls_.empty();
}

}  // namespace antidiffusion
