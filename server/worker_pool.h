// The threads that work: one for each device, each with every model of the repository.
#pragma once

#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "base/mutex.h"
#include "server/device_worker.h"

namespace antidiffusion {

class WorkerPool {
 public:
  // One worker for each of `devices` (auto, cpu, cuda:0, ...), which may hold one twice.
  WorkerPool(std::vector<std::string> devices, WorkerSettings settings,
             WorkerSurroundings surroundings);
  // The dispatcher must be closed: waits for the workers to end.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Starts the threads, which load the models first. Once.
  void Start();

  // Ends loading, also of engines to come: where no job will come.
  void StopLoading() { stop_loading_.request_stop(); }

  // True once every worker has ended, which they do once the dispatcher is finished; false when
  // `timeout` passed before.
  bool WaitFinished(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  WorkerPlace PlaceOf(size_t index) const;

  const std::vector<std::string> devices_;
  const WorkerSettings settings_;
  std::stop_source stop_loading_;
  const WorkerSurroundings surroundings_;
  Mutex mutex_;
  CondVar finished_;
  size_t alive_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::jthread> threads_;
};

}  // namespace antidiffusion
