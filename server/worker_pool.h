// The threads that work: one for each device, each with every model of the repository.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/base/mutex.h"
#include "core/protect/protector.h"
#include "server/eta_estimator.h"
#include "server/job_queue.h"
#include "server/job_runner.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/model_catalogue.h"

namespace antidiffusion {

using ProtectorFactory =
    std::function<absl::StatusOr<std::unique_ptr<Protector>>(const LoadOptions& options)>;

struct WorkerOptions {
  std::vector<std::string> devices = {"auto"};  // one worker each
  std::vector<ModelEntry> models;
  std::string precision = "auto";
  int threads = 0;  // of the CPU, as in LoadOptions
};

// What the workers share with the rest of the server; all of it outlives them.
struct WorkerSurroundings {
  ProtectorFactory load;
  ModelCatalogue& catalogue;
  JobQueue& queue;
  EtaEstimator& eta;
  const JobRunner& runner;
  Metrics& metrics;
  const Log& log;
  Job::Clock now;
  std::function<void()> on_models_changed;  // on a worker's thread
};

class WorkerPool {
 public:
  WorkerPool(WorkerOptions options, WorkerSurroundings surroundings);
  // The queue must be closed: waits for the workers to empty it.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Starts the threads, which load the models first. Once.
  void Start();

  // True once every worker has ended, which they do when the queue is closed and empty; false when
  // `timeout` passed before.
  bool WaitFinished(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  class Worker;

  const WorkerOptions options_;
  const WorkerSurroundings surroundings_;
  Mutex mutex_;
  CondVar finished_;
  size_t alive_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::jthread> threads_;
};

}  // namespace antidiffusion
