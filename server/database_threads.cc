#include "server/database_threads.h"

#include <utility>

#include "absl/time/clock.h"
#include "server/errors.h"

namespace antidiffusion {

DatabaseThreads::DatabaseThreads(int threads, const Limits& limits) : limits_(limits) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Main(); });
}

absl::Status DatabaseThreads::Post(Task task, int64_t bytes) {
  MutexLock lock(mutex_);
  if (stopped_) return DrainingError();
  if (waiting_.size() >= limits_.tasks || (bytes_ > 0 && bytes_ + bytes > limits_.bytes)) {
    return StoreFailedError(absl::UnavailableError("too many calls wait for the database"));
  }
  waiting_.push_back({std::move(task), bytes});
  bytes_ += bytes;
  changed_.NotifyOne();
  return absl::OkStatus();
}

void DatabaseThreads::PostAlways(Task task) {
  {
    MutexLock lock(mutex_);
    if (!stopped_) {
      waiting_.push_back({std::move(task), 0});
      changed_.NotifyOne();
      return;
    }
  }
  task();
}

bool DatabaseThreads::WaitIdle(absl::Duration timeout) {
  const absl::Time end = absl::Now() + timeout;
  MutexLock lock(mutex_);
  while (running_ > 0 || !waiting_.empty()) {
    const absl::Duration left = end - absl::Now();
    if (left <= absl::ZeroDuration()) return false;
    idle_.WaitFor(lock, left);
  }
  return true;
}

void DatabaseThreads::Stop() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    changed_.NotifyAll();
  }
  threads_.clear();  // joins
}

void DatabaseThreads::Main() {
  while (true) {
    Task task;
    {
      MutexLock lock(mutex_);
      while (waiting_.empty() && !stopped_) changed_.Wait(lock);
      if (waiting_.empty()) return;
      task = std::move(waiting_.front().task);
      bytes_ -= waiting_.front().bytes;
      waiting_.pop_front();
      ++running_;
    }
    task();
    task = nullptr;  // what it holds goes before it counts as done
    MutexLock lock(mutex_);
    --running_;
    if (running_ == 0 && waiting_.empty()) idle_.NotifyAll();
  }
}

}  // namespace antidiffusion
