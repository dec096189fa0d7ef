#include "server/admission.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/api/capabilities.h"
#include "core/base/sha256.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "core/base/utf8.h"
#include "server/errors.h"
#include "server/job_trace.h"
#include "server/planned_work.h"
#include "server/request_conversion.h"

namespace antidiffusion {
namespace {

constexpr absl::Duration kMaxTimeout = absl::Hours(7 * 24);

// Equal messages give equal bytes, whatever the order of their maps.
std::string Serialised(const google::protobuf::Message& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

// Without image and request_id.
v1::ProtectRequest BodyOf(const v1::ProtectRequest& request) {
  v1::ProtectRequest body;
  body.set_model(request.model());
  if (request.has_options()) *body.mutable_options() = request.options();
  if (request.has_output()) *body.mutable_output() = request.output();
  *body.mutable_labels() = request.labels();
  body.set_priority(request.priority());
  if (request.has_timeout()) *body.mutable_timeout() = request.timeout();
  return body;
}

}  // namespace

absl::StatusOr<std::shared_ptr<Job>> Admission::Admit(const Call& call,
                                                      v1::ProtectRequest request) {
  const TraceContext trace = BeginTrace(with_.tracer, call.context, call.arrived);
  const size_t bytes = request.image().size();
  absl::StatusOr<std::shared_ptr<Job>> job = TryAdmit(call, trace, request);
  if (!job.ok()) {
    TraceRefusal(with_.tracer, trace, job.status(), with_.now());
    with_.metrics.Rejected(ReasonOf(job.status()));
    LogRefused(request.request_id(), bytes, trace, job.status());
  }
  return job;
}

void Admission::LogRefused(const std::string& request_id, size_t bytes, const TraceContext& trace,
                           const absl::Status& status) const {
  with_.log.Info("request refused", {{"request_id", TruncateUtf8(request_id, 128)},
                                     {"bytes", static_cast<int64_t>(bytes)},
                                     {"trace_id", trace.id()},
                                     {"reason", ReasonOf(status)},
                                     {"error", std::string(status.message())}});
}

absl::StatusOr<std::shared_ptr<Job>> Admission::TryAdmit(const Call& call,
                                                         const TraceContext& trace,
                                                         v1::ProtectRequest& request) {
  const bool detached = call.rpc == Rpc::kCreateJob;
  AD_ASSIGN_OR_RETURN(
      const auto tenant,
      with_.tenants.Identify(call.context, detached ? Right::kJobs : Right::kProtect));
  const bool closed = with_.queue.closed();
  if (closed && request.request_id().empty()) return DrainingError();
  if (const auto wait = tenant->TakeRequest(with_.now())) return TenantRateError(*wait);
  AD_ASSIGN_OR_RETURN(JobRequest job, ToJobRequest(request));
  AD_ASSIGN_OR_RETURN(const absl::Time deadline, DeadlineOf(call, request));
  job.tenant = tenant->name();
  job.trace = trace;
  job.detached = detached;
  if (job.model.empty()) job.model = with_.catalogue.default_model();
  if (!job.priority.has_value()) {
    job.priority = detached ? JobPriority::kBatch : JobPriority::kInteractive;
  }
  AD_ASSIGN_OR_RETURN(const ImageHeader header, ReadImageHeader(request.image(), options_.limits));
  Identify(request, job);
  AD_ASSIGN_OR_RETURN(std::shared_ptr<Job> known, with_.ledger.registry().Join(job, with_.now()));
  if (known != nullptr) {
    with_.metrics.JobJoined();
    return known;
  }
  if (closed) return DrainingError();
  if (with_.unread.full()) return ResultsUnreadError();
  AD_RETURN_IF_ERROR(CheckModels(job));
  AD_RETURN_IF_ERROR(
      CheckPlannedPasses(job.options, with_.catalogue.InfoOf(job.model), header,
                         tenant->spec().max_job_passes.value_or(options_.max_job_passes)));
  AD_RETURN_IF_ERROR(CheckDeadline(job, deadline));
  job.image = std::move(*request.mutable_image());
  return TakeIn(*tenant, std::move(job), header, deadline);
}

absl::StatusOr<std::shared_ptr<Job>> Admission::TakeIn(const Tenant& tenant, JobRequest request,
                                                       const ImageHeader& header,
                                                       absl::Time deadline) {
  const auto expected = with_.eta.Expected(request.model, request.options);
  const auto kept = with_.ledger.registry().FindResult(request.cache_key);
  const auto job = with_.ledger.MakeJob(std::move(request), deadline, expected);
  const auto push = [&] { return kept == nullptr ? Push(tenant, job) : absl::OkStatus(); };
  const auto on_taken = [&] {
    TraceAdmission(with_.tracer, *job, with_.now());
    LogAccepted(*job, header);
  };
  AD_ASSIGN_OR_RETURN(std::shared_ptr<Job> taken, with_.ledger.TakeIn(job, push, on_taken));
  if (taken == job && kept != nullptr) {
    with_.metrics.ResultFromCache();
    job->SetQueued({});
    job->SucceedAs(kept);
  }
  return taken;
}

// That the server has every model which the job names, and the job's own can do what is asked.
absl::Status Admission::CheckModels(const JobRequest& job) const {
  AD_RETURN_IF_ERROR(CheckModel(job, job.model));
  for (const std::string& name : job.options.also) {
    if (name == job.model) {
      return InvalidField("options.also", name, "other models than the request's own");
    }
    AD_RETURN_IF_ERROR(CheckModel(job, name));
  }
  const ModelInfo model = with_.catalogue.InfoOf(job.model);
  // Of one that was not loaded yet nothing is known: the engine asks then.
  return model.name.empty() ? absl::OkStatus() : CheckCapabilities(job.options, model);
}

// A job that nobody waits for in a call may wait for its model too, where it is safe meanwhile. If
// the model cannot be loaded, the job fails with that.
absl::Status Admission::CheckModel(const JobRequest& job, const std::string& name) const {
  const absl::Status there = with_.catalogue.Check(name);
  const bool loads = ReasonOf(there) == reason::kModelLoading;
  return loads && job.detached && with_.ledger.durable() ? absl::OkStatus() : there;
}

// What makes the request the same as another.
void Admission::Identify(const v1::ProtectRequest& request, JobRequest& job) const {
  if (!job.kept() && !options_.result_cache) return;
  v1::ProtectRequest body = BodyOf(request);
  job.image_digest = Sha256Hex(request.image());
  job.body_hash = Sha256Hex(absl::StrCat(job.image_digest, Serialised(body)));
  body.set_model(job.model);  // a later start may have another default
  job.body = Serialised(body);
  if (!options_.result_cache) return;
  const std::string models = ModelsOf(job);
  if (models.empty()) return;
  job.cache_key =
      Sha256Hex(absl::StrCat(job.tenant, "\n", job.image_digest, models, Serialised(body.options()),
                             "\n", Serialised(body.output())));
}

// What the result depends on of all models that it is made with: their weights, and what a sidecar
// or a config may say otherwise of the same weights. "" while one is not known.
std::string Admission::ModelsOf(const JobRequest& job) const {
  std::vector<std::string> names = {job.model};
  names.insert(names.end(), job.options.also.begin(), job.options.also.end());
  std::string all;
  for (const std::string& name : names) {
    const ModelInfo info = with_.catalogue.InfoOf(name);
    if (info.digest.empty()) return "";
    absl::StrAppend(&all, info.digest, info.prediction_type, info.native_side, info.precision);
  }
  return all;
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

absl::Status Admission::Push(const Tenant& tenant, const std::shared_ptr<Job>& job) {
  if (const auto wait = tenant.TakeBytes(job->bytes(), with_.now())) {
    return TenantBytesError(*tenant.spec().bytes_per_day, *wait);
  }
  absl::Status pushed = with_.queue.TryPush(job);
  if (!pushed.ok()) tenant.ReturnBytes(job->bytes());
  return pushed;
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
      with_.queue.WaitSeconds(job.tenant, job.priority.value_or(JobPriority::kInteractive), own);
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
