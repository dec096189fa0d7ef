#include "server/store_gate.h"

#include <utility>

namespace antidiffusion {

void StoreGate::Close() {
  MutexLock lock(mutex_);
  open_ = false;
}

void StoreGate::Open(const absl::Status& status) {
  std::vector<std::function<void(const absl::Status&)>> waiting;
  {
    MutexLock lock(mutex_);
    if (open_) return;
    open_ = true;
    status_ = status;
    waiting.swap(waiting_);
    opened_.NotifyAll();
  }
  for (const auto& then : waiting) then(status);
}

absl::Status StoreGate::Wait() {
  MutexLock lock(mutex_);
  while (!open_) opened_.Wait(lock);
  return status_;
}

void StoreGate::WhenOpen(std::function<void(const absl::Status&)> then) {
  absl::Status status;
  {
    MutexLock lock(mutex_);
    if (!open_) {
      waiting_.push_back(std::move(then));
      return;
    }
    status = status_;
  }
  then(status);
}

}  // namespace antidiffusion
