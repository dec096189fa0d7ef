#include "server/protection_service.h"

#include <chrono>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "server/errors.h"
#include "server/proto_conversion.h"
#include "server/request_conversion.h"
#include "server/status_conversion.h"

namespace antidiffusion {
namespace {

constexpr int kDefaultPage = 100;
constexpr int kMaxPage = 1000;

absl::Time DeadlineOf(const grpc::CallbackServerContext& context) {
  const auto deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return absl::InfiniteFuture();
  return absl::FromChrono(deadline);
}

// gRPC makes a message for each call, keeps it until the call's end and looks at it no more: what
// is in it may be taken out, so that a long call does not hold an image that its job no longer
// needs.
v1::ProtectRequest Taken(const v1::ProtectRequest* request) {
  return std::move(*const_cast<v1::ProtectRequest*>(request));
}

}  // namespace

ProtectionService::ProtectionService(const ServiceSurroundings& surroundings)
    : with_(surroundings),
      hooks_{
          .leave =
              [this](const JobCall& call, const std::optional<absl::Status>& why) {
                with_.ledger.Leave(*call.job(), call.rpc() == Rpc::kProtect ? why : std::nullopt);
              },
          .read_image =
              [this](const Job& job, const StoredPiece& piece, const JobLedger::ImageRead& then) {
                with_.ledger.ReadImage(job.name(), piece, then);
              },
          .on_finish =
              [this](Rpc rpc, const absl::Status& status, absl::Duration duration) {
                with_.metrics.RequestFinished(rpc, static_cast<grpc::StatusCode>(status.code()),
                                              absl::ToDoubleSeconds(duration));
              },
          .calls = calls_,
          .unread = surroundings.unread,
          .now = surroundings.now} {}

ProtectionService::Stream* ProtectionService::Protect(Context* context,
                                                      const v1::ProtectRequest* request) {
  const JobCall::Order order{
      .rpc = Rpc::kProtect, .started = with_.now(), .deadline = DeadlineOf(*context)};
  return Follow(context,
                with_.admission.Admit({*context, Rpc::kProtect, order.started, order.deadline},
                                      Taken(request)),
                order);
}

ProtectionService::Stream* ProtectionService::WatchJob(Context* context,
                                                       const v1::WatchJobRequest* request) {
  const JobCall::Order order{.rpc = Rpc::kWatchJob,
                             .started = with_.now(),
                             .deadline = DeadlineOf(*context),
                             .from_sequence = request->from_sequence()};
  absl::StatusOr<std::string> tenant = TenantOf(*context);
  return Follow(
      context,
      tenant.ok() ? with_.ledger.registry().Attach(*tenant, request->name()) : tenant.status(),
      order);
}

ProtectionService::Stream* ProtectionService::DownloadResult(
    Context* context, const v1::DownloadResultRequest* request) {
  absl::StatusOr<std::shared_ptr<Job>> job =
      AttachToResult(*context, request->name(), request->offset());
  // Its result is its last event.
  const uint64_t before_result = job.ok() ? (*job)->Snapshot().sequence - 1 : 0;
  return Follow(context, std::move(job),
                {.rpc = Rpc::kDownloadResult,
                 .started = with_.now(),
                 .deadline = DeadlineOf(*context),
                 .from_sequence = before_result,
                 .image_offset = request->offset()});
}

absl::StatusOr<std::shared_ptr<Job>> ProtectionService::AttachToResult(const Context& context,
                                                                       const std::string& name,
                                                                       int64_t offset) const {
  AD_ASSIGN_OR_RETURN(const std::string tenant, TenantOf(context));
  AD_ASSIGN_OR_RETURN(const std::shared_ptr<Job> job, with_.ledger.registry().Find(tenant, name));
  const JobSnapshot now = job->Snapshot();
  if (now.result == nullptr) return NoResultError(name, v1::Job::State_Name(ToProto(now.state)));
  const int64_t size = now.result->bytes();
  if (offset < 0 || offset > size) {
    return InvalidField("offset", absl::StrCat(offset), absl::StrCat("0..", size));
  }
  return with_.ledger.registry().Attach(tenant, name);
}

// A job that is not stored yet has no answer yet.
ProtectionService::Stream* ProtectionService::Follow(Context* context,
                                                     absl::StatusOr<std::shared_ptr<Job>> job,
                                                     const JobCall::Order& order) {
  const std::shared_ptr<Job> followed = job.ok() ? *job : nullptr;
  const auto owned = std::make_shared<JobCall>(context, std::move(job), order, hooks_);
  calls_.Add(owned);
  JobCall* const call = owned.get();  // until gRPC is done with it
  if (followed == nullptr) {
    call->Begin();
  } else {
    followed->stored().WhenOpen([call](const absl::Status& stored) { call->Begin(stored); });
  }
  return call;
}

ProtectionService::Answer ProtectionService::Begin(Context* context, Rpc rpc) const {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const Finish finish = [this, context, reactor, rpc,
                         started = with_.now()](const absl::Status& status) {
    with_.metrics.RequestFinished(rpc, static_cast<grpc::StatusCode>(status.code()),
                                  absl::ToDoubleSeconds(with_.now() - started));
    const std::string pushback = RetryPushback(status);
    if (!pushback.empty()) context->AddTrailingMetadata("grpc-retry-pushback-ms", pushback);
    reactor->Finish(ToGrpcStatus(status));
  };
  return {reactor, finish};
}

absl::StatusOr<std::string> ProtectionService::TenantOf(const Context& context) const {
  AD_ASSIGN_OR_RETURN(const auto tenant, with_.tenants.Identify(context, Right::kJobs));
  return tenant->name();
}

absl::StatusOr<std::shared_ptr<Job>> ProtectionService::JobOf(const Context& context,
                                                              const std::string& name) const {
  AD_ASSIGN_OR_RETURN(const std::string tenant, TenantOf(context));
  return with_.ledger.registry().Find(tenant, name);
}

v1::Job ProtectionService::Describe(const Job& job, const JobSnapshot& now, bool result) const {
  return ToProto(job, now, with_.ledger.registry().ExpiryOf(job), result);
}

grpc::ServerUnaryReactor* ProtectionService::CreateJob(Context* context,
                                                       const v1::ProtectRequest* request,
                                                       v1::Job* response) {
  const auto [reactor, finish] = Begin(context, Rpc::kCreateJob);
  const absl::StatusOr<std::shared_ptr<Job>> admitted = with_.admission.Admit(
      {*context, Rpc::kCreateJob, with_.now(), DeadlineOf(*context)}, Taken(request));
  if (!admitted.ok()) {
    finish(admitted.status());
    return reactor;
  }
  const std::shared_ptr<Job>& job = *admitted;
  job->stored().WhenOpen([this, job, response, finish = finish](const absl::Status& stored) {
    with_.ledger.Leave(*job, std::nullopt);
    if (stored.ok()) *response = Describe(*job, job->Snapshot(), false);
    finish(stored);
  });
  return reactor;
}

grpc::ServerUnaryReactor* ProtectionService::GetJob(Context* context,
                                                    const v1::GetJobRequest* request,
                                                    v1::Job* response) {
  const auto [reactor, finish] = Begin(context, Rpc::kGetJob);
  const absl::StatusOr<std::shared_ptr<Job>> job = JobOf(*context, request->name());
  if (job.ok()) *response = Describe(**job, (*job)->Snapshot(), true);
  finish(job.status());
  return reactor;
}

grpc::ServerUnaryReactor* ProtectionService::ListJobs(Context* context,
                                                      const v1::ListJobsRequest* request,
                                                      v1::ListJobsResponse* response) {
  const auto [reactor, finish] = Begin(context, Rpc::kListJobs);
  finish(List(*context, *request, response));
  return reactor;
}

absl::Status ProtectionService::List(const Context& context, const v1::ListJobsRequest& request,
                                     v1::ListJobsResponse* response) const {
  AD_ASSIGN_OR_RETURN(const std::string tenant, TenantOf(context));
  AD_ASSIGN_OR_RETURN(const std::optional<JobState> state, ToJobState(request.state()));
  const int size = request.page_size() == 0 ? kDefaultPage : request.page_size();
  if (size < 1 || size > kMaxPage) {
    return InvalidField("page_size", absl::StrCat(size), "1..1000; 0: 100");
  }
  AD_ASSIGN_OR_RETURN(
      const JobRegistry::Page page,
      with_.ledger.registry().List(tenant, state, static_cast<size_t>(size), request.page_token()));
  for (const std::shared_ptr<Job>& job : page.jobs) {
    *response->add_jobs() = Describe(*job, job->Snapshot(), false);
  }
  response->set_next_page_token(page.next_token);
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* ProtectionService::CancelJob(Context* context,
                                                       const v1::CancelJobRequest* request,
                                                       v1::Job* response) {
  const auto [reactor, finish] = Begin(context, Rpc::kCancelJob);
  const absl::StatusOr<std::shared_ptr<Job>> job = JobOf(*context, request->name());
  if (job.ok()) {
    with_.ledger.Cancel(**job, JobCancelledError());
    *response = Describe(**job, (*job)->Snapshot(), false);
  }
  finish(job.status());
  return reactor;
}

grpc::ServerUnaryReactor* ProtectionService::DeleteJob(Context* context,
                                                       const v1::DeleteJobRequest* request,
                                                       google::protobuf::Empty* /*response*/) {
  const auto [reactor, finish] = Begin(context, Rpc::kDeleteJob);
  const absl::StatusOr<std::shared_ptr<Job>> job = JobOf(*context, request->name());
  if (job.ok()) {
    with_.ledger.Delete(*job, finish);
  } else {
    finish(job.status());
  }
  return reactor;
}

grpc::ServerUnaryReactor* ProtectionService::ListModels(Context* context,
                                                        const v1::ListModelsRequest* /*request*/,
                                                        v1::ListModelsResponse* response) {
  const auto [reactor, finish] = Begin(context, Rpc::kListModels);
  const absl::Status allowed = with_.tenants.Identify(*context, Right::kModels).status();
  if (allowed.ok()) {
    for (const ModelStatus& model : with_.catalogue.List()) {
      *response->add_models() = ToProto(model);
    }
    response->set_default_model(with_.catalogue.default_model());
  }
  finish(allowed);
  return reactor;
}

}  // namespace antidiffusion
