#include "server/protection_service.h"

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/base/utf8.h"
#include "server/errors.h"
#include "server/job_trace.h"
#include "server/proto_conversion.h"

namespace antidiffusion {
namespace {

absl::Time DeadlineOf(const grpc::CallbackServerContext& context) {
  const auto deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return absl::InfiniteFuture();
  return absl::FromChrono(deadline);
}

JobOutcome OutcomeOf(const absl::Status& status) {
  switch (EndStateOf(status)) {
    case JobState::kSucceeded:
      return JobOutcome::kSucceeded;
    case JobState::kExpired:
      return JobOutcome::kExpired;
    case JobState::kCancelled:
      return JobOutcome::kCancelled;
    default:
      return JobOutcome::kFailed;
  }
}

}  // namespace

ProtectionService::ProtectionService(const ServiceSurroundings& surroundings)
    : with_(surroundings),
      hooks_{.leave =
                 [this](const JobCall& call, const std::optional<absl::Status>& why) {
                   if (why.has_value()) CancelJob(*call.job(), *why);
                 },
             .on_finish =
                 [this](Rpc rpc, const absl::Status& status, absl::Duration duration) {
                   with_.metrics.RequestFinished(rpc, static_cast<grpc::StatusCode>(status.code()),
                                                 absl::ToDoubleSeconds(duration));
                 },
             .on_done =
                 [this](JobCall* call) {
                   std::unique_ptr<JobCall> done;  // destroyed after the lock is given back
                   MutexLock lock(mutex_);
                   const auto found = calls_.find(call);
                   done = std::move(found->second);
                   calls_.erase(found);
                   if (calls_.empty()) idle_.NotifyAll();
                 },
             .now = surroundings.now} {}

grpc::ServerWriteReactor<v1::JobEvent>* ProtectionService::Protect(
    grpc::CallbackServerContext* context, const v1::ProtectRequest* request) {
  const JobCall::Order order{
      .rpc = Rpc::kProtect, .started = with_.now(), .deadline = DeadlineOf(*context)};
  const TraceContext trace = BeginTrace(with_.tracer, *context, order.started);
  absl::StatusOr<std::shared_ptr<Job>> job =
      Admit(*context, Right::kProtect, *request, order.deadline, trace);
  if (job.ok()) {
    TraceAdmission(with_.tracer, **job, with_.now());
  } else {
    TraceRefusal(with_.tracer, trace, job.status(), with_.now());
    with_.metrics.Rejected(ReasonOf(job.status()));
    with_.log.Info("request refused", {{"request_id", TruncateUtf8(request->request_id(), 128)},
                                       {"bytes", static_cast<int64_t>(request->image().size())},
                                       {"trace_id", trace.id()},
                                       {"reason", ReasonOf(job.status())},
                                       {"error", std::string(job.status().message())}});
  }
  auto owned = std::make_unique<JobCall>(context, std::move(job), order, hooks_);
  JobCall* const call = owned.get();
  {
    MutexLock lock(mutex_);
    calls_[call] = std::move(owned);
  }
  call->Begin();
  return call;
}

absl::StatusOr<std::shared_ptr<Job>> ProtectionService::Admit(
    const grpc::ServerContextBase& context, Right right, const v1::ProtectRequest& request,
    absl::Time deadline, const TraceContext& trace) {
  AD_ASSIGN_OR_RETURN(const auto tenant, with_.tenants.Identify(context, right));
  if (with_.queue.closed()) return DrainingError();
  if (const auto wait = tenant->TakeRequest(with_.now())) return TenantRateError(*wait);
  AD_ASSIGN_OR_RETURN(JobRequest job_request, ToJobRequest(request));
  job_request.tenant = tenant->name();
  if (job_request.model.empty()) job_request.model = with_.catalogue.default_model();
  AD_RETURN_IF_ERROR(with_.catalogue.Check(job_request.model));
  AD_ASSIGN_OR_RETURN(const ImageHeader header, ReadImageHeader(request.image(), with_.limits));
  AD_RETURN_IF_ERROR(CheckDeadline(job_request, deadline));

  job_request.image = request.image();
  job_request.trace = trace;
  const auto expected = with_.eta.Expected(job_request.model, job_request.options);
  auto job = std::make_shared<Job>(
      std::move(job_request), deadline, expected, with_.now,
      [this](const Job& ended, const absl::Status& status) { OnJobFinished(ended, status); });
  AD_RETURN_IF_ERROR(Push(*tenant, job));
  with_.metrics.JobCounted(job->request().model, JobOutcome::kAccepted, "");
  with_.log.Info("job accepted", {{"job", job->name()},
                                  {"request_id", job->request().request_id},
                                  {"tenant", job->request().tenant},
                                  {"trace_id", job->request().trace.id()},
                                  {"model", job->request().model},
                                  {"bytes", job->bytes()},
                                  {"width", header.width},
                                  {"height", header.height}});
  return job;
}

absl::Status ProtectionService::Push(const Tenant& tenant, const std::shared_ptr<Job>& job) {
  if (const auto wait = tenant.TakeBytes(job->bytes(), with_.now())) {
    return TenantBytesError(*tenant.spec().bytes_per_day, *wait);
  }
  const absl::Status pushed = with_.queue.TryPush(job);
  if (!pushed.ok()) tenant.ReturnBytes(job->bytes());
  return pushed;
}

// A caller whose deadline the queue cannot meet is told so now. On an idle server the estimate is
// no ground for a refusal: it would never be corrected.
absl::Status ProtectionService::CheckDeadline(const JobRequest& job, absl::Time deadline) const {
  const absl::Time now = with_.now();
  if (now >= deadline) return DeadlinePassedError("admission");
  const std::optional<double> own = with_.eta.Expected(job.model, job.options);
  const std::optional<double> wait =
      with_.queue.WaitSeconds(job.tenant, job.priority.value_or(JobPriority::kInteractive), own);
  if (!wait.has_value() || *wait <= 0 || !own.has_value()) return absl::OkStatus();
  if (now + absl::Seconds(*wait + *own) <= deadline) return absl::OkStatus();
  return DeadlineUnreachableError(*wait + *own);
}

grpc::ServerUnaryReactor* ProtectionService::ListModels(grpc::CallbackServerContext* context,
                                                        const v1::ListModelsRequest* /*request*/,
                                                        v1::ListModelsResponse* response) {
  const absl::Time started = with_.now();
  const absl::Status allowed = with_.tenants.Identify(*context, Right::kModels).status();
  if (allowed.ok()) {
    for (const ModelStatus& model : with_.catalogue.List()) {
      *response->add_models() = ToProto(model);
    }
    response->set_default_model(with_.catalogue.default_model());
  }
  with_.metrics.RequestFinished(Rpc::kListModels, static_cast<grpc::StatusCode>(allowed.code()),
                                absl::ToDoubleSeconds(with_.now() - started));
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(allowed));
  return reactor;
}

void ProtectionService::Tick(absl::Time now) {
  for (const std::shared_ptr<Job>& job : with_.queue.TakeExpired(now)) {
    job->Fail(DeadlinePassedError("queue"));
  }
  MutexLock lock(mutex_);
  for (const auto& [call, owned] : calls_) call->Tick(now);
}

void ProtectionService::CancelJob(Job& job, const absl::Status& why) {
  if (with_.queue.Remove(job)) {
    job.Fail(why);
  } else {
    job.Cancel(why);
  }
}

void ProtectionService::CancelAll(const absl::Status& why) {
  for (const std::shared_ptr<Job>& job : with_.queue.TakeAll()) job->Fail(why);
  for (const std::shared_ptr<Job>& job : with_.queue.running()) job->Cancel(why);
}

bool ProtectionService::WaitIdle(absl::Duration timeout) {
  MutexLock lock(mutex_);
  if (!calls_.empty()) idle_.WaitFor(lock, timeout);
  return calls_.empty();
}

void ProtectionService::OnJobFinished(const Job& job, const absl::Status& status) {
  const std::string& model = job.request().model;
  const JobOutcome outcome = OutcomeOf(status);
  with_.metrics.JobCounted(model, outcome, ReasonOf(status));
  TraceEnd(with_.tracer, job, outcome, status, with_.now());
  const double seconds = absl::ToDoubleSeconds(with_.now() - job.admitted());
  const std::string& tenant = job.request().tenant;
  const std::optional<std::string> trace_id = job.request().trace.id();
  if (status.ok()) {
    with_.log.Info("job finished", {{"job", job.name()},
                                    {"tenant", tenant},
                                    {"trace_id", trace_id},
                                    {"model", model},
                                    {"seconds", seconds}});
    return;
  }
  with_.log.Info("job ended without a result", {{"job", job.name()},
                                                {"request_id", job.request().request_id},
                                                {"tenant", tenant},
                                                {"trace_id", trace_id},
                                                {"model", model},
                                                {"seconds", seconds},
                                                {"reason", ReasonOf(status)},
                                                {"error", TextOf(status)}});
}

}  // namespace antidiffusion
