#include "server/worker_pool.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/base/status_details.h"
#include "server/errors.h"

namespace antidiffusion {

// Lives on its thread; nothing of it is shared.
class WorkerPool::Worker {
 public:
  Worker(const WorkerOptions& options, const WorkerSurroundings& surroundings,
         const std::string& device)
      : options_(options), with_(surroundings), wanted_device_(device) {}

  void Main() {
    for (const ModelEntry& model : options_.models) {
      if (with_.queue.closed()) break;
      Load(model);
    }
    while (const std::shared_ptr<Job> job = with_.queue.Pop()) Handle(*job);
    if (device_.has_value()) device_->SetUp(false);
  }

 private:
  void Load(const ModelEntry& model) {
    with_.log.Info("loading model", {{"model", model.name}, {"device", wanted_device_}});
    const absl::Time start = with_.now();
    auto protector =
        with_.load({model.directory, wanted_device_, options_.precision, options_.threads});
    const double seconds = absl::ToDoubleSeconds(with_.now() - start);
    if (!protector.ok()) {
      with_.log.Error("model not loaded", {{"model", model.name},
                                           {"device", wanted_device_},
                                           {"error", TextOf(protector.status())}});
      with_.catalogue.Failed(model.name, wanted_device_, protector.status());
      with_.on_models_changed();
      return;
    }
    const ModelInfo info = (*protector)->model();
    if (!device_.has_value()) {
      device_.emplace(with_.metrics.AddDevice(info.device));
      device_->SetUp(true);
    }
    device_->SetMemory((*protector)->memory());
    protectors_[model.name] = std::move(*protector);
    with_.metrics.ModelLoadTook(model.name, seconds);
    with_.catalogue.Loaded(info);
    with_.log.Info("model loaded", {{"model", model.name},
                                    {"family", info.family},
                                    {"device", info.device},
                                    {"precision", info.precision},
                                    {"digest", info.digest},
                                    {"seconds", seconds}});
    with_.on_models_changed();
  }

  void Handle(Job& job) {
    const auto found = protectors_.find(job.request().model);
    if (found == protectors_.end()) {  // ready on every device means it is here too
      with_.queue.Done(job);
      job.Fail(ModelFailedError(job.request().model));
      return;
    }
    with_.metrics.QueueWaited(absl::ToDoubleSeconds(with_.now() - job.admitted()));
    device_->SetRunning(1);
    absl::StatusOr<JobResult> result = RunTimed(job, *found->second);
    device_->SetMemory(found->second->memory());
    device_->SetRunning(0);
    // The queue first: whoever hears of the end finds the worker free.
    with_.queue.Done(job);
    if (job.cancel_reason().has_value()) {
      with_.metrics.CancelTook(absl::ToDoubleSeconds(job.since_cancel()));
    }
    if (result.ok()) {
      job.Succeed(*std::move(result));
    } else {
      job.Fail(result.status());
    }
  }

  absl::StatusOr<JobResult> RunTimed(Job& job, Protector& protector) {
    const std::string& model = job.request().model;
    const absl::Time start = with_.now();
    absl::Time counted = start;
    int steps = 0;
    const auto count = [&] {
      const absl::Time now = with_.now();
      device_->AddBusy(absl::ToDoubleSeconds(now - counted));
      counted = now;
    };
    absl::StatusOr<JobResult> result =
        with_.runner.Run(job, protector, [&](const Progress& progress) {
          count();
          steps = std::max(steps, progress.total);
          if (progress.step_seconds > 0) {
            with_.metrics.StepTook(model, progress.stage, progress.step_seconds);
          }
        });
    count();
    if (result.ok()) {
      with_.eta.Record(model, job.request().options, absl::ToDoubleSeconds(counted - start), steps);
      for (const auto& [stage, seconds] : result->stage_seconds) {
        with_.metrics.StageTook(stage, model, seconds);
      }
    }
    return result;
  }

  const WorkerOptions& options_;
  const WorkerSurroundings& with_;
  const std::string wanted_device_;
  std::optional<Metrics::Device> device_;  // once its true name is known
  std::map<std::string, std::unique_ptr<Protector>> protectors_;
};

WorkerPool::WorkerPool(WorkerOptions options, WorkerSurroundings surroundings)
    : options_(std::move(options)), surroundings_(std::move(surroundings)) {}

WorkerPool::~WorkerPool() = default;  // joins

void WorkerPool::Start() {
  {
    MutexLock lock(mutex_);
    alive_ = options_.devices.size();
  }
  for (const std::string& device : options_.devices) {
    threads_.emplace_back([this, device] {
      Worker(options_, surroundings_, device).Main();
      MutexLock lock(mutex_);
      --alive_;
      finished_.NotifyAll();
    });
  }
}

bool WorkerPool::WaitFinished(absl::Duration timeout) {
  MutexLock lock(mutex_);
  if (alive_ > 0) finished_.WaitFor(lock, timeout);
  return alive_ == 0;
}

}  // namespace antidiffusion
