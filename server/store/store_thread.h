// The one thread on which the job store is used.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <thread>

#include "base/mutex.h"
#include "server/store/job_store.h"

namespace antidiffusion {

// Runs what it is given in order. What waits is bounded by its givers: a few writes for each
// waiting or running job, one read for each open call. Thread-safe.
class StoreThread {
 public:
  using Task = std::function<void(JobStore& store)>;

  explicit StoreThread(std::unique_ptr<JobStore> store);
  // Runs what is left first.
  ~StoreThread() { Stop(); }
  StoreThread(const StoreThread&) = delete;
  StoreThread& operator=(const StoreThread&) = delete;

  // False after Stop: the task is dropped.
  bool Post(Task task) ABSL_LOCKS_EXCLUDED(mutex_);

  // Runs what is left and ends. Not on the thread itself.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Main() ABSL_LOCKS_EXCLUDED(mutex_);

  const std::unique_ptr<JobStore> store_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::jthread thread_;
};

}  // namespace antidiffusion
