#include "tests/load/schedule.h"

#include <utility>

#include "absl/time/clock.h"

namespace antidiffusion {

void Schedule::At(absl::Time time, Action action) {
  {
    MutexLock lock(mutex_);
    actions_.emplace(time, std::move(action));
  }
  changed_.NotifyOne();
}

void Schedule::Run() {
  for (;;) {
    Action action;
    {
      MutexLock lock(mutex_);
      while (!stopped_ && (actions_.empty() || actions_.begin()->first > absl::Now())) {
        if (actions_.empty()) {
          changed_.Wait(lock);
        } else {
          changed_.WaitFor(lock, actions_.begin()->first - absl::Now());
        }
      }
      if (stopped_) break;
      action = std::move(actions_.begin()->second);
      actions_.erase(actions_.begin());
    }
    action();
  }
  std::multimap<absl::Time, Action> dropped;  // destroyed without the lock
  MutexLock lock(mutex_);
  dropped.swap(actions_);
}

void Schedule::Stop() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
  }
  changed_.NotifyAll();
}

}  // namespace antidiffusion
