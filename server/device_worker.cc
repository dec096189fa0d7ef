#include "server/device_worker.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "server/errors.h"

namespace antidiffusion {
namespace {

constexpr absl::Duration kMaxPause = absl::Seconds(30);

// Before the next engine, when `failures` of them were lost in a row.
absl::Duration PauseAfter(int failures) {
  if (failures <= 1) return absl::ZeroDuration();
  return std::min(kMaxPause, absl::Seconds(1 << std::min(failures - 2, 5)));
}

}  // namespace

void DeviceWorker::Main() {
  while (!with_.dispatcher.finished()) {
    absl::Status lost = Live();
    if (with_.stop_loading.stop_requested() && with_.dispatcher.finished()) lost = absl::OkStatus();
    const absl::Duration pause = TakeDown(lost);
    if (lost.ok() || with_.dispatcher.WaitFinished(pause)) return;
  }
}

absl::Status DeviceWorker::Live() {
  auto engine = with_.start_engine(place_.device, [this] { with_.dispatcher.Wake(); });
  if (!engine.ok()) return WithReason(engine.status(), {reason::kWorkerNotStarted, {}});
  engine_ = *std::move(engine);
  AD_RETURN_IF_ERROR(LoadModels());
  return Serve();
}

absl::Status DeviceWorker::LoadModels() {
  for (const ModelEntry& model : settings_.models) {
    if (with_.stop_loading.stop_requested()) return absl::CancelledError("the server stops");
    if (failed_models_.count(model.name) == 0) AD_RETURN_IF_ERROR(Load(model));
  }
  has_served_ = true;
  serving_since_ = with_.now();
  return absl::OkStatus();
}

absl::Status DeviceWorker::Load(const ModelEntry& model) {
  with_.log.Info("loading model", {{"model", model.name}, {"device", place_.device}});
  const absl::Time start = with_.now();
  auto protector = engine_->Load({.directory = model.directory,
                                  .device = place_.device,
                                  .precision = settings_.precision,
                                  .threads = settings_.threads,
                                  .tokenizers = settings_.tokenizers},
                                 with_.stop_loading);
  const double seconds = absl::ToDoubleSeconds(with_.now() - start);
  AD_RETURN_IF_ERROR(engine_->health());
  if (protector.ok()) {
    AD_RETURN_IF_ERROR((*protector)->SelfTest());
    const ModelInfo info = (*protector)->model();
    protectors_[model.name] = *std::move(protector);
    Announce(info, seconds);
    return absl::OkStatus();
  }
  with_.log.Error(
      "model not loaded",
      {{"model", model.name}, {"device", place_.device}, {"error", TextOf(protector.status())}});
  if (has_served_) {  // it could be loaded before
    return WithReason(absl::UnavailableError(TextOf(protector.status())),
                      {reason::kModelFailed, {{"model", model.name}}});
  }
  failed_models_.insert(model.name);
  with_.catalogue.Failed(model.name, place_.device, protector.status());
  with_.on_models_changed();
  return absl::OkStatus();
}

void DeviceWorker::Announce(const ModelInfo& info, double seconds) {
  if (!device_.has_value()) {
    name_ = info.device + place_.suffix;
    device_.emplace(with_.metrics.AddDevice(name_));
  }
  device_->SetUp(true);
  device_->SetMemory(protectors_[info.name]->memory());
  with_.metrics.ModelLoadTook(info.name, seconds);
  with_.catalogue.Loaded(place_.index, info);
  with_.log.Info("model loaded", {{"model", info.name},
                                  {"family", info.family},
                                  {"device", info.device},
                                  {"precision", info.precision},
                                  {"digest", info.digest},
                                  {"seconds", seconds}});
  for (const std::string& note : info.notes) {
    with_.log.Warning("note on a model", {{"model", info.name}, {"note", note}});
  }
  with_.on_models_changed();
}

absl::Status DeviceWorker::Serve() {
  const bool tests = settings_.self_test_interval > absl::ZeroDuration();
  const absl::Duration patience = tests ? settings_.self_test_interval : absl::InfiniteDuration();
  const auto is_lost = [this] { return !engine_->health().ok(); };
  const std::vector<std::string> models = ModelsToClaim();
  while (true) {
    std::optional<ClaimedJob> claimed = with_.dispatcher.Next(models, is_lost, patience);
    const bool had_job = claimed.has_value();
    if (had_job) {
      const std::optional<RunningJob> running = with_.runs.Begin(*std::move(claimed));
      if (running.has_value()) Handle(*running);
    }
    AD_RETURN_IF_ERROR(engine_->health());
    if (had_job) continue;
    if (with_.dispatcher.finished()) return absl::OkStatus();
    if (tests) AD_RETURN_IF_ERROR(TestOneModel());
  }
}

// Those that are loaded, and those that will not be anywhere: their jobs fail with that.
std::vector<std::string> DeviceWorker::ModelsToClaim() const {
  std::vector<std::string> models;
  models.reserve(protectors_.size());
  for (const auto& [name, protector] : protectors_) models.push_back(name);
  if (settings_.is_alone) models.insert(models.end(), failed_models_.begin(), failed_models_.end());
  return models;
}

absl::Status DeviceWorker::TestOneModel() {
  if (protectors_.empty()) return absl::OkStatus();
  const auto tested = std::next(protectors_.begin(),
                                static_cast<std::ptrdiff_t>(next_test_++ % protectors_.size()));
  AD_RETURN_IF_ERROR(tested->second->SelfTest());
  failures_ = 0;
  return absl::OkStatus();
}

absl::Duration DeviceWorker::TakeDown(const absl::Status& why) {
  if (device_.has_value()) device_->SetUp(false);
  protectors_.clear();
  engine_.reset();
  if (why.ok()) return absl::ZeroDuration();
  with_.catalogue.Lost(place_.index);
  with_.on_models_changed();
  const auto since = std::exchange(serving_since_, std::nullopt);
  if (since.has_value() && with_.now() - *since >= kMaxPause) failures_ = 0;
  const absl::Duration pause = PauseAfter(++failures_);
  with_.metrics.WorkerRestarted(name_, ReasonOf(why));
  with_.log.Warning("replacing the worker of a device",
                    {{"device", name_},
                     {"reason", ReasonOf(why)},
                     {"error", TextOf(why)},
                     {"pause_seconds", absl::ToDoubleSeconds(pause)}});
  return pause;
}

void DeviceWorker::Handle(const RunningJob& running) {
  Job& job = *running.job;
  const JobRequest& request = job.request();
  const absl::Time start = with_.now();
  if (const auto missing = MissingModel(request)) {
    End(running, ModelFailedError(*missing), start);
    return;
  }
  if (running.claim.attempts == 1) {
    with_.metrics.QueueWaited(request,
                              absl::ToDoubleSeconds(running.claim.now - running.claim.created));
  }
  Protector& protector = *protectors_.at(request.model);
  device_->SetRunning(1);
  absl::StatusOr<JobResult> result = RunTimed(job, protector);
  device_->SetMemory(protector.memory());
  device_->SetRunning(0);
  const absl::Status lost = engine_->health();
  if (lost.ok()) failures_ = 0;
  if (!result.ok() && !lost.ok()) {
    absl::Status status = lost;
    if (TryAgain(running, status)) return;
    result = status;
  }
  End(running, std::move(result), start);
}

std::optional<std::string> DeviceWorker::MissingModel(const JobRequest& request) const {
  const auto missing = [this](const std::string& name) { return protectors_.count(name) == 0; };
  if (missing(request.model)) return request.model;
  const auto& also = request.options.also;
  const auto found = std::find_if(also.begin(), also.end(), missing);
  return found == also.end() ? std::nullopt : std::optional(*found);
}

bool DeviceWorker::TryAgain(const RunningJob& running, absl::Status& status) {
  const Job& job = *running.job;
  const auto why = job.cancel_reason();
  if (why.has_value() || with_.now() >= job.deadline()) {
    status = why.value_or(DeadlinePassedError("running"));
    return false;
  }
  with_.log.Warning("a job lost its worker", {{"job", job.name()},
                                              {"tenant", job.request().tenant},
                                              {"trace_id", job.request().trace.id()},
                                              {"device", name_},
                                              {"losses", running.claim.losses + 1},
                                              {"reason", ReasonOf(status)}});
  if (with_.runs.TryAgain(running)) return true;
  status = WorkerLostTwiceError(status);
  return false;
}

void DeviceWorker::End(const RunningJob& running, absl::StatusOr<JobResult> result,
                       absl::Time start) {
  const Job& job = *running.job;
  if (job.cancel_reason().has_value()) {
    with_.metrics.CancelTook(absl::ToDoubleSeconds(job.since_cancel()));
  }
  with_.runs.End(running, std::move(result), absl::ToDoubleSeconds(with_.now() - start));
}

absl::StatusOr<JobResult> DeviceWorker::RunTimed(Job& job, Protector& protector) {
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

}  // namespace antidiffusion
