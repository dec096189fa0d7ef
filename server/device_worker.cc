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
  while (!with_.queue.finished()) {
    absl::Status lost = Live();
    if (with_.stop_loading.stop_requested() && with_.queue.finished()) lost = absl::OkStatus();
    const absl::Duration pause = TakeDown(lost);
    if (lost.ok() || with_.queue.WaitFinished(pause)) return;
  }
}

absl::Status DeviceWorker::Live() {
  auto engine = with_.start_engine(place_.device, [this] { with_.queue.Wake(); });
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
  while (true) {
    const std::shared_ptr<Job> job = with_.queue.PopUnless(is_lost, patience);
    if (job != nullptr) Handle(job);
    AD_RETURN_IF_ERROR(engine_->health());
    if (job != nullptr) continue;
    if (with_.queue.finished()) return absl::OkStatus();
    if (tests) AD_RETURN_IF_ERROR(TestOneModel());
  }
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

void DeviceWorker::Handle(const std::shared_ptr<Job>& job) {
  const JobRequest& request = job->request();
  const auto found = protectors_.find(request.model);
  if (const auto missing = MissingModel(request)) {  // ready on every device means it is here too
    with_.queue.Done(*job);
    job->Fail(ModelFailedError(*missing));
    return;
  }
  if (job->attempts() == 0) {
    with_.metrics.QueueWaited(request, absl::ToDoubleSeconds(with_.now() - job->admitted()));
  }
  device_->SetRunning(1);
  absl::StatusOr<JobResult> result = RunTimed(*job, *found->second);
  device_->SetMemory(found->second->memory());
  device_->SetRunning(0);
  const absl::Status lost = engine_->health();
  if (lost.ok()) failures_ = 0;
  if (!result.ok() && !lost.ok()) {
    absl::Status status = lost;
    if (TryAgain(job, status)) return;
    result = status;
  }
  End(*job, std::move(result));
}

std::optional<std::string> DeviceWorker::MissingModel(const JobRequest& request) const {
  const auto missing = [this](const std::string& name) { return protectors_.count(name) == 0; };
  if (missing(request.model)) return request.model;
  const auto& also = request.options.also;
  const auto found = std::find_if(also.begin(), also.end(), missing);
  return found == also.end() ? std::nullopt : std::optional(*found);
}

bool DeviceWorker::TryAgain(const std::shared_ptr<Job>& job, absl::Status& status) {
  const auto why = job->cancel_reason();
  if (why.has_value() || with_.now() >= job->deadline()) {
    status = why.value_or(DeadlinePassedError("running"));
    return false;
  }
  if (job->attempts() >= Job::kMaxAttempts) {
    status = WorkerLostTwiceError(status);
    return false;
  }
  with_.log.Warning("a job lost its worker and waits again",
                    {{"job", job->name()},
                     {"tenant", job->request().tenant},
                     {"trace_id", job->request().trace.id()},
                     {"device", name_},
                     {"reason", ReasonOf(status)}});
  job->Restart();
  with_.queue.Requeue(job);
  // A cancel of just now found it neither waiting nor running.
  if (const auto late = job->cancel_reason(); late.has_value() && with_.queue.Remove(*job)) {
    job->Fail(*late);
  }
  return true;
}

void DeviceWorker::End(Job& job, absl::StatusOr<JobResult> result) {
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
