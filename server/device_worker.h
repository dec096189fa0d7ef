// The thread of one device: keeps an engine with every model alive, and runs jobs on it.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/api/protector.h"
#include "server/dispatcher.h"
#include "server/engine/device_engine.h"
#include "server/eta_estimator.h"
#include "server/job_runner.h"
#include "server/job_runs.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/model_catalogue.h"

namespace antidiffusion {

// What the workers share with the rest of the server; all of it outlives them.
struct WorkerSurroundings {
  EngineFactory start_engine;
  ModelCatalogue& catalogue;
  Dispatcher& dispatcher;
  JobRuns& runs;
  EtaEstimator& eta;
  const JobRunner& runner;
  Metrics& metrics;
  const Log& log;
  Job::Clock now;
  std::function<void()> on_models_changed;  // on a worker's thread
  std::stop_token stop_loading = {};        // nobody waits for the models any more
};

struct WorkerSettings {
  std::vector<ModelEntry> models;
  std::string precision = "auto";
  int threads = 0;         // of the CPU, as in LoadOptions
  std::string tokenizers;  // as in LoadOptions
  // Idle for so long, the device is tested; zero: never.
  absl::Duration self_test_interval = absl::Minutes(1);
  // No other server takes jobs of this database: one whose model could not be loaded is ended.
  bool is_alone = true;
};

// Which of the pool's workers it is.
struct WorkerPlace {
  size_t index = 0;
  std::string device;  // as it was asked for: auto, cpu, cuda:0, ...
  std::string suffix;  // tells workers of one device apart in the metrics; "" where it has one
};

// For one thread; nothing of it is shared.
class DeviceWorker {
 public:
  // All but `place` outlive it.
  DeviceWorker(const WorkerSettings& settings, const WorkerSurroundings& surroundings,
               WorkerPlace place)
      : settings_(settings), with_(surroundings), place_(std::move(place)) {}

  // Until the dispatcher is finished. An engine that fails is replaced, after 0, 1, 2, 4 .. 30 s
  // of pause, from the start again once one ran a job, passed a test or served for 30 s. The job
  // that was on it is run once more, here or elsewhere; one that is lost twice fails with
  // WORKER_LOST_TWICE.
  void Main();

 private:
  // One engine from its start on: OK once the dispatcher is finished, else why it must be replaced.
  absl::Status Live();
  absl::Status LoadModels();
  // `model`, unless it failed at this server's start. The error is the engine's.
  absl::Status Load(const ModelEntry& model);
  void Announce(const ModelInfo& info, double seconds);
  absl::Status Serve();
  absl::Status TestOneModel();
  // Takes down what is left of the engine. Returns how long to wait before the next.
  absl::Duration TakeDown(const absl::Status& why);

  std::vector<std::string> ModelsToClaim() const;
  void Handle(const RunningJob& running);
  // A model that the job names and this engine has not loaded.
  std::optional<std::string> MissingModel(const JobRequest& request) const;
  absl::StatusOr<JobResult> RunTimed(Job& job, Protector& protector);
  // Whether the job, whose engine was lost, waits again; if not, `status` is how it ends.
  bool TryAgain(const RunningJob& running, absl::Status& status);
  void End(const RunningJob& running, absl::StatusOr<JobResult> result, absl::Time start);

  const WorkerSettings& settings_;
  const WorkerSurroundings& with_;
  const WorkerPlace place_;
  std::string name_ = place_.device + place_.suffix;  // in the metrics, once it is known for sure
  std::optional<Metrics::Device> device_;             // once a model was loaded
  std::set<std::string> failed_models_;               // at the start: not tried again
  std::optional<absl::Time> serving_since_;           // of this engine
  bool has_served_ = false;                           // any
  int failures_ = 0;                                  // of engines, in a row
  size_t next_test_ = 0;                              // of the models
  std::unique_ptr<DeviceEngine> engine_;
  std::map<std::string, std::unique_ptr<Protector>> protectors_;  // of engine_
};

}  // namespace antidiffusion
