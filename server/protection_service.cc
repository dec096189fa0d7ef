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
          .leave = [this](const Job& job,
                          const std::optional<absl::Status>& why) { with_.access.Leave(job, why); },
          .read_image =
              [this](const Job& job, const StoredPiece& piece, const JobAccess::ImageRead& then) {
                with_.access.ReadImage(job.name(), piece, then);
              },
          .on_finish =
              [this](Rpc rpc, const absl::Status& status, absl::Duration duration) {
                with_.metrics.RequestFinished(rpc, static_cast<grpc::StatusCode>(status.code()),
                                              absl::ToDoubleSeconds(duration));
              },
          .calls = calls_,
          .unread = surroundings.unread,
          .now = surroundings.now} {}

JobCall* ProtectionService::MakeCall(Context* context, const JobCall::Order& order) {
  const auto owned = std::make_shared<JobCall>(context, order, hooks_);
  calls_.Add(owned);
  return owned.get();  // until gRPC is done with it, which it is not before its beginning
}

ProtectionService::Stream* ProtectionService::Protect(Context* context,
                                                      const v1::ProtectRequest* request) {
  const JobCall::Order order{
      .rpc = Rpc::kProtect, .started = with_.now(), .deadline = DeadlineOf(*context)};
  JobCall* const call = MakeCall(context, order);
  with_.admission.Admit(
      {*context, Rpc::kProtect, order.started, order.deadline}, Taken(request),
      [call](absl::StatusOr<std::shared_ptr<Job>> job) { call->Begin(std::move(job)); });
  return call;
}

ProtectionService::Stream* ProtectionService::WatchJob(Context* context,
                                                       const v1::WatchJobRequest* request) {
  JobCall* const call = MakeCall(context, {.rpc = Rpc::kWatchJob,
                                           .started = with_.now(),
                                           .deadline = DeadlineOf(*context),
                                           .from_sequence = request->from_sequence()});
  ForTenant(
      *context,
      [this, call, name = request->name()](const std::string& tenant) {
        call->Begin(with_.access.Attach(tenant, name));
      },
      [call](const absl::Status& why) { call->Begin(why); });
  return call;
}

ProtectionService::Stream* ProtectionService::DownloadResult(
    Context* context, const v1::DownloadResultRequest* request) {
  JobCall* const call = MakeCall(context, {.rpc = Rpc::kDownloadResult,
                                           .started = with_.now(),
                                           .deadline = DeadlineOf(*context),
                                           .image_offset = request->offset()});
  ForTenant(
      *context,
      [this, call, asked = *request](const std::string& tenant) {
        absl::StatusOr<JobAccess::AttachedResult> attached =
            with_.access.AttachToResult(tenant, asked.name(), asked.offset());
        if (attached.ok()) {
          call->Begin(std::move(attached->job), attached->before);
        } else {
          call->Begin(attached.status());
        }
      },
      [call](const absl::Status& why) { call->Begin(why); });
  return call;
}

void ProtectionService::ForTenant(const Context& context, const Ask& ask, const Finish& refuse) {
  const auto tenant = with_.tenants.Identify(context, Right::kJobs);
  if (!tenant.ok()) {
    refuse(tenant.status());
    return;
  }
  const absl::Status posted = with_.threads.Post([ask, name = (*tenant)->name()] { ask(name); });
  if (!posted.ok()) refuse(posted);
}

template <typename Value>
grpc::ServerUnaryReactor* ProtectionService::Answer(
    Context* context, Rpc rpc, Value* response,
    std::function<absl::StatusOr<Value>(const std::string&)> ask) {
  const auto [reactor, finish] = Begin(context, rpc);
  ForTenant(
      *context,
      [response, ask = std::move(ask), finish = finish](const std::string& tenant) {
        absl::StatusOr<Value> value = ask(tenant);
        const absl::Status status = value.status();
        if (status.ok()) *response = *std::move(value);
        finish(status);
      },
      finish);
  return reactor;
}

ProtectionService::Begun ProtectionService::Begin(Context* context, Rpc rpc) const {
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

grpc::ServerUnaryReactor* ProtectionService::CreateJob(Context* context,
                                                       const v1::ProtectRequest* request,
                                                       v1::Job* response) {
  const auto [reactor, finish] = Begin(context, Rpc::kCreateJob);
  with_.admission.Admit(
      {*context, Rpc::kCreateJob, with_.now(), DeadlineOf(*context)}, Taken(request),
      [this, response, finish = finish](const absl::StatusOr<std::shared_ptr<Job>>& job) {
        if (!job.ok()) {
          finish(job.status());
          return;
        }
        absl::StatusOr<v1::Job> made =
            with_.access.Get((*job)->request().tenant, (*job)->name(), /*with_result=*/false);
        with_.access.Leave(**job, CallerGoneError());  // it has read nothing
        const absl::Status status = made.status();
        if (status.ok()) *response = *std::move(made);
        finish(status);
      });
  return reactor;
}

grpc::ServerUnaryReactor* ProtectionService::GetJob(Context* context,
                                                    const v1::GetJobRequest* request,
                                                    v1::Job* response) {
  return Answer<v1::Job>(context, Rpc::kGetJob, response,
                         [this, name = request->name()](const std::string& tenant) {
                           return with_.access.Get(tenant, name, /*with_result=*/true);
                         });
}

grpc::ServerUnaryReactor* ProtectionService::ListJobs(Context* context,
                                                      const v1::ListJobsRequest* request,
                                                      v1::ListJobsResponse* response) {
  return Answer<v1::ListJobsResponse>(
      context, Rpc::kListJobs, response,
      [this, asked = *request](const std::string& tenant) { return List(tenant, asked); });
}

absl::StatusOr<v1::ListJobsResponse> ProtectionService::List(
    const std::string& tenant, const v1::ListJobsRequest& request) const {
  AD_ASSIGN_OR_RETURN(const std::optional<JobState> state, ToJobState(request.state()));
  const int size = request.page_size() == 0 ? kDefaultPage : request.page_size();
  if (size < 1 || size > kMaxPage) {
    return InvalidField("page_size", absl::StrCat(size), "1..1000; 0: 100");
  }
  return with_.access.List(tenant, state, size, request.page_token());
}

grpc::ServerUnaryReactor* ProtectionService::CancelJob(Context* context,
                                                       const v1::CancelJobRequest* request,
                                                       v1::Job* response) {
  return Answer<v1::Job>(context, Rpc::kCancelJob, response,
                         [this, name = request->name()](const std::string& tenant) {
                           return with_.access.Cancel(tenant, name);
                         });
}

grpc::ServerUnaryReactor* ProtectionService::DeleteJob(Context* context,
                                                       const v1::DeleteJobRequest* request,
                                                       google::protobuf::Empty* /*response*/) {
  const auto [reactor, finish] = Begin(context, Rpc::kDeleteJob);
  ForTenant(
      *context,
      [this, name = request->name(), finish = finish](const std::string& tenant) {
        finish(with_.access.Delete(tenant, name));
      },
      finish);
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
