#include "server/admission.h"

#include <optional>
#include <string>
#include <utility>

#include "core/api/capabilities.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "core/base/utf8.h"
#include "server/errors.h"
#include "server/job_identity.h"
#include "server/job_trace.h"
#include "server/planned_work.h"
#include "server/request_conversion.h"

namespace antidiffusion {
namespace {

constexpr absl::Duration kMaxTimeout = absl::Hours(7 * 24);

}  // namespace

void Admission::Admit(const Call& call, v1::ProtectRequest request, const Then& then) {
  const TraceContext trace = BeginTrace(with_.tracer, call.context, call.arrived);
  const Refused refused = {request.request_id(), request.image().size(), trace};
  absl::StatusOr<Sound> sound = Look(call, trace, request);
  if (!sound.ok()) {
    Refuse(refused, sound.status());
    then(sound.status());
    return;
  }
  const auto taken = std::make_shared<Sound>(*std::move(sound));  // functions are copied
  const absl::Status posted = with_.threads.Post(
      [this, taken, refused, then] {
        absl::StatusOr<std::shared_ptr<Job>> job = Offer(*taken);
        if (!job.ok()) Refuse(refused, job.status());
        then(std::move(job));
      },
      static_cast<int64_t>(refused.bytes));
  if (posted.ok()) return;
  Refuse(refused, posted);
  then(posted);
}

void Admission::Refuse(const Refused& refused, const absl::Status& status) const {
  TraceRefusal(with_.tracer, refused.trace, status, with_.now());
  with_.metrics.Rejected(ReasonOf(status));
  with_.log.Info("request refused", {{"request_id", TruncateUtf8(refused.request_id, 128)},
                                     {"bytes", static_cast<int64_t>(refused.bytes)},
                                     {"trace_id", refused.trace.id()},
                                     {"reason", ReasonOf(status)},
                                     {"error", std::string(status.message())}});
}

absl::StatusOr<Admission::Sound> Admission::Look(const Call& call, const TraceContext& trace,
                                                 v1::ProtectRequest& request) {
  const bool detached = call.rpc == Rpc::kCreateJob;
  Sound sound;
  AD_ASSIGN_OR_RETURN(sound.tenant, with_.tenants.Identify(
                                        call.context, detached ? Right::kJobs : Right::kProtect));
  if (with_.dispatcher.closed() && request.request_id().empty()) return DrainingError();
  if (const auto wait = sound.tenant->TakeRequest(with_.now())) return TenantRateError(*wait);
  AD_ASSIGN_OR_RETURN(sound.job, ToJobRequest(request));
  JobRequest& job = sound.job;
  AD_ASSIGN_OR_RETURN(sound.deadline, DeadlineOf(call, request));
  job.tenant = sound.tenant->name();
  job.trace = trace;
  job.detached = detached;
  if (job.model.empty()) job.model = with_.catalogue.default_model();
  if (!job.priority.has_value()) {
    job.priority = detached ? JobPriority::kBatch : JobPriority::kInteractive;
  }
  AD_ASSIGN_OR_RETURN(sound.header, ReadImageHeader(request.image(), options_.limits));
  sound.request = std::move(request);
  return sound;
}

absl::StatusOr<std::shared_ptr<Job>> Admission::Offer(Sound& sound) {
  JobRequest& request = sound.job;
  absl::Status may_wait = CheckWaiting(sound);
  const auto bytes = static_cast<int64_t>(sound.request.image().size());
  bool charged = false;
  if (may_wait.ok()) {
    const auto wait = sound.tenant->TakeBytes(bytes, with_.now());
    charged = !wait.has_value();
    if (!charged) may_wait = TenantBytesError(*sound.tenant->spec().bytes_per_day, *wait);
  }
  // What cannot be joined nor answered need not be hashed.
  if (!may_wait.ok() && request.request_id.empty() && !options_.result_cache) return may_wait;
  Identify(sound.request, sound.request.image(), options_.result_cache, with_.catalogue, request);
  request.image = std::move(*sound.request.mutable_image());
  const auto expected = with_.eta.Expected(request.model, request.options);
  const auto job = std::make_shared<Job>(std::move(request), sound.deadline, expected, with_.now);
  bool waits = false;
  absl::StatusOr<std::shared_ptr<Job>> taken =
      with_.acceptance.Accept(job, *sound.tenant, may_wait, [&](bool waits_now) {
        waits = waits_now;
        LogAccepted(*job, sound.header);
      });
  if (charged && !waits) sound.tenant->ReturnBytes(bytes);
  // Meanwhile the devices may have ended.
  const bool is_left = waits && with_.dispatcher.closed();
  if (is_left && !(options_.durable && job->request().kept())) with_.acceptance.TakeBack(*job);
  return taken;
}

absl::Status Admission::CheckWaiting(const Sound& sound) const {
  const JobRequest& job = sound.job;
  if (with_.dispatcher.closed()) return DrainingError();
  if (with_.unread.full()) return ResultsUnreadError();
  AD_RETURN_IF_ERROR(CheckModels(job));
  AD_RETURN_IF_ERROR(
      CheckPlannedPasses(job.options, with_.catalogue.InfoOf(job.model), sound.header,
                         sound.tenant->spec().max_job_passes.value_or(options_.max_job_passes)));
  return CheckDeadline(job, sound.deadline);
}

// That the server has every model which the job names, and the job's own can do what is asked.
absl::Status Admission::CheckModels(const JobRequest& job) const {
  AD_RETURN_IF_ERROR(CheckModel(job.model, job));
  for (const std::string& name : job.options.also) {
    if (name == job.model) {
      return InvalidField("options.also", name, "other models than the request's own");
    }
    AD_RETURN_IF_ERROR(CheckModel(name, job));
  }
  const ModelInfo info = with_.catalogue.InfoOf(job.model);
  // Of one that was not loaded yet nothing is known: the engine asks then.
  return info.name.empty() ? absl::OkStatus() : CheckCapabilities(job.options, info);
}

// A job that outlives its call and this process may wait for a model to be loaded. If that cannot
// be, the job fails with it.
absl::Status Admission::CheckModel(const std::string& name, const JobRequest& job) const {
  const absl::Status ready = with_.catalogue.Check(name);
  const bool may_wait =
      options_.durable && job.detached && ReasonOf(ready) == reason::kModelLoading;
  return may_wait ? absl::OkStatus() : ready;
}

absl::StatusOr<absl::Time> Admission::DeadlineOf(const Call& call,
                                                 const v1::ProtectRequest& request) const {
  if (call.rpc == Rpc::kProtect) return call.deadline;
  if (!request.has_timeout()) return call.arrived + options_.job_timeout;
  const absl::Duration timeout =
      absl::Seconds(request.timeout().seconds()) + absl::Nanoseconds(request.timeout().nanos());
  if (timeout <= absl::ZeroDuration() || timeout > kMaxTimeout) {
    return InvalidField("timeout", absl::FormatDuration(timeout), "(0, 7 days]");
  }
  return call.arrived + timeout;
}

// A caller whose deadline the queue cannot meet is told so now. On an idle server the estimate is
// no ground for a refusal: it would never be corrected.
absl::Status Admission::CheckDeadline(const JobRequest& job, absl::Time deadline) const {
  if (deadline == absl::InfiniteFuture()) return absl::OkStatus();
  const absl::Time now = with_.now();
  if (now >= deadline) return DeadlinePassedError("admission");
  const std::optional<double> own = with_.eta.Expected(job.model, job.options);
  if (!own.has_value()) return absl::OkStatus();
  const std::optional<double> wait =
      with_.outlook.WaitSeconds(job.tenant, job.priority.value_or(JobPriority::kInteractive));
  if (!wait.has_value() || *wait <= 0) return absl::OkStatus();
  if (now + absl::Seconds(*wait + *own) <= deadline) return absl::OkStatus();
  return DeadlineUnreachableError(*wait + *own);
}

void Admission::LogAccepted(const Job& job, const ImageHeader& header) const {
  with_.log.Info("job accepted", {{"job", job.name()},
                                  {"request_id", job.request().request_id},
                                  {"tenant", job.request().tenant},
                                  {"trace_id", job.request().trace.id()},
                                  {"model", job.request().model},
                                  {"bytes", job.bytes()},
                                  {"width", header.width},
                                  {"height", header.height}});
}

}  // namespace antidiffusion
