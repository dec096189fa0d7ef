#include "client/protection_client.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <random>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/channel.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "grpcpp/client_context.h"

namespace antidiffusion {
namespace {

absl::Status Interrupted() { return absl::CancelledError("interrupted"); }

// A stream that was there says that the server exists: worth more patience than an address that
// may be wrong.
RetryOptions Patient(RetryOptions retry) {
  retry.max_connect_attempts = retry.max_attempts;
  return retry;
}

}  // namespace

bool InterruptibleSleep(absl::Duration duration, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any stopped;
  std::unique_lock<std::mutex> lock(mutex);
  // A year is for ever, and still fits when it is added to the clock.
  const absl::Duration bounded = std::min(duration, absl::Hours(24 * 365));
  stopped.wait_for(lock, stop, absl::ToChronoNanoseconds(bounded),
                   [&stop] { return stop.stop_requested(); });
  return !stop.stop_requested();
}

ProtectionClient::ProtectionClient(const ClientOptions& options)
    : ProtectionClient(options, MakeChannel(options.server, options.credentials)) {}

ProtectionClient::ProtectionClient(const ClientOptions& options,
                                   const std::shared_ptr<grpc::Channel>& channel)
    : options_(options),
      protection_(v1::ProtectionService::NewStub(channel)),
      health_(grpc::health::v1::Health::NewStub(channel)) {}

ProtectionClient::Attempt ProtectionClient::Read(grpc::ClientContext& context,
                                                 grpc::ClientReader<v1::JobEvent>& reader,
                                                 ResultReceipt& receipt,
                                                 const EventHandler& on_event) {
  Attempt attempt;
  absl::Status taken;
  v1::JobEvent event;
  while (taken.ok() && reader.Read(&event)) {
    attempt.message_received = true;
    if (event.has_result() || event.has_chunk()) {
      taken = receipt.Take(std::move(event));
    } else if (on_event) {
      on_event(event);
    }
  }
  if (!taken.ok()) context.TryCancel();
  attempt.status = reader.Finish();
  if (!taken.ok()) {
    attempt.status = {grpc::StatusCode::INTERNAL, std::string(taken.message())};
  }
  return attempt;
}

ProtectionClient::Attempt ProtectionClient::ReadRest(grpc::ClientContext& context,
                                                     const std::string& job,
                                                     ResultReceipt& receipt) const {
  v1::DownloadResultRequest request;
  request.set_name(job);
  request.set_offset(receipt.bytes());
  const auto reader = protection_->DownloadResult(&context, request);
  Attempt attempt = Read(context, *reader, receipt, nullptr);
  // Patience is for those that bring the image on.
  attempt.message_received = receipt.bytes() > request.offset();
  attempt.resumable = true;
  return attempt;
}

absl::StatusOr<ReceivedResult> ProtectionClient::Protect(const v1::ProtectRequest& request,
                                                         const CallOptions& call,
                                                         const EventHandler& on_event) const {
  ResultReceipt receipt;
  std::string job;
  const EventHandler remember = [&job, &on_event](const v1::JobEvent& event) {
    if (event.has_queued()) job = event.queued().job();
    if (on_event) on_event(event);
  };
  AD_RETURN_IF_ERROR(Call(call, [&](grpc::ClientContext& context) {
    if (receipt.begun()) return ReadRest(context, job, receipt);
    const auto reader = protection_->Protect(&context, request);
    Attempt attempt = Read(context, *reader, receipt, remember);
    // Without a request_id the job went with the call.
    attempt.resumable = receipt.begun() && !request.request_id().empty() && !job.empty();
    return attempt;
  }));
  return std::move(receipt).Finish();
}

absl::StatusOr<ReceivedResult> ProtectionClient::WatchJob(const v1::WatchJobRequest& request,
                                                          const CallOptions& call,
                                                          const EventHandler& on_event) const {
  ResultReceipt receipt;
  v1::WatchJobRequest next = request;
  const EventHandler remember = [&next, &on_event](const v1::JobEvent& event) {
    next.set_from_sequence(event.sequence());
    if (on_event) on_event(event);
  };
  AD_RETURN_IF_ERROR(Call(call, [&](grpc::ClientContext& context) {
    if (receipt.begun()) return ReadRest(context, request.name(), receipt);
    const auto reader = protection_->WatchJob(&context, next);
    Attempt attempt = Read(context, *reader, receipt, remember);
    attempt.resumable = true;
    return attempt;
  }));
  return std::move(receipt).Finish();
}

absl::StatusOr<ReceivedResult> ProtectionClient::DownloadResult(const std::string& name,
                                                                const CallOptions& call) const {
  ResultReceipt receipt;
  AD_RETURN_IF_ERROR(
      Call(call, [&](grpc::ClientContext& context) { return ReadRest(context, name, receipt); }));
  return std::move(receipt).Finish();
}

template <typename Request, typename Response>
absl::StatusOr<Response> ProtectionClient::Unary(
    const CallOptions& call,
    grpc::Status (v1::ProtectionService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                        Response*),
    const Request& request) const {
  Response response;
  AD_RETURN_IF_ERROR(Call(call, [&](grpc::ClientContext& context) {
    return Attempt{.status = (protection_.get()->*method)(&context, request, &response)};
  }));
  return response;
}

absl::StatusOr<v1::Job> ProtectionClient::CreateJob(const v1::ProtectRequest& request,
                                                    const CallOptions& call) const {
  return Unary(call, &v1::ProtectionService::Stub::CreateJob, request);
}

absl::StatusOr<v1::Job> ProtectionClient::GetJob(const v1::GetJobRequest& request,
                                                 const CallOptions& call) const {
  return Unary(call, &v1::ProtectionService::Stub::GetJob, request);
}

absl::StatusOr<v1::ListJobsResponse> ProtectionClient::ListJobs(const v1::ListJobsRequest& request,
                                                                const CallOptions& call) const {
  return Unary(call, &v1::ProtectionService::Stub::ListJobs, request);
}

absl::StatusOr<v1::Job> ProtectionClient::CancelJob(const std::string& name,
                                                    const CallOptions& call) const {
  v1::CancelJobRequest request;
  request.set_name(name);
  return Unary(call, &v1::ProtectionService::Stub::CancelJob, request);
}

absl::Status ProtectionClient::DeleteJob(const std::string& name, const CallOptions& call) const {
  v1::DeleteJobRequest request;
  request.set_name(name);
  return Unary(call, &v1::ProtectionService::Stub::DeleteJob, request).status();
}

absl::StatusOr<v1::ListModelsResponse> ProtectionClient::ListModels(const CallOptions& call) const {
  return Unary(call, &v1::ProtectionService::Stub::ListModels, v1::ListModelsRequest());
}

absl::StatusOr<grpc::health::v1::HealthCheckResponse::ServingStatus> ProtectionClient::CheckHealth(
    const CallOptions& call) const {
  grpc::health::v1::HealthCheckResponse response;
  AD_RETURN_IF_ERROR(Call(call, [&](grpc::ClientContext& context) {
    return Attempt{.status =
                       health_->Check(&context, grpc::health::v1::HealthCheckRequest(), &response)};
  }));
  return response.status();
}

CallError ProtectionClient::DescribeError(const grpc::Status& status,
                                          const grpc::ClientContext& context) const {
  CallError error = ReadCallError(status, context.GetServerTrailingMetadata());
  if (IsUnreachable(error.status)) {
    const bool hung_up = absl::StrContains(error.status.message(), "Socket closed") ||
                         absl::StrContains(error.status.message(), "Connection reset");
    error.status = absl::UnavailableError(absl::StrCat(
        "server ", options_.server, ": ", error.status.message(),
        hung_up && !options_.credentials.tls ? " (a server with TLS wants --tls)" : ""));
  }
  if (absl::IsDeadlineExceeded(error.status) && !GetErrorReason(error.status).has_value()) {
    error.status = absl::DeadlineExceededError("the time given ended before the answer came");
  }
  return error;
}

absl::Status ProtectionClient::Call(
    const CallOptions& call, const std::function<Attempt(grpc::ClientContext&)>& attempt) const {
  std::mt19937_64 generator{std::random_device{}()};
  const auto random = [&generator] {
    return std::uniform_real_distribution<double>(0, 1)(generator);
  };
  std::optional<RetryPolicy> policy(std::in_place, options_.retry, random);
  for (int next_attempt = 2;; ++next_attempt) {
    if (call.stop.stop_requested()) return Interrupted();
    grpc::ClientContext context;
    if (call.deadline != absl::InfiniteFuture()) {
      context.set_deadline(absl::ToChronoTime(call.deadline));
    }
    AddApiKey(options_.credentials.api_key, context);
    Attempt made;
    {
      const std::stop_callback cancel(call.stop, [&context] { context.TryCancel(); });
      made = attempt(context);
    }
    if (made.status.ok()) return absl::OkStatus();
    if (call.stop.stop_requested()) return Interrupted();
    const CallError error = DescribeError(made.status, context);
    if (!call.retry || (made.message_received && !made.resumable)) return error.status;
    if (made.message_received) policy.emplace(Patient(options_.retry), random);
    const std::optional<absl::Duration> delay = policy->NextDelay(error);
    if (!delay.has_value()) return error.status;
    if (absl::Now() + *delay >= call.deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat("no time left for another attempt after: ", error.status.message()));
    }
    if (call.on_retry) call.on_retry({error.status, next_attempt, *delay});
    if (!options_.sleep(*delay, call.stop)) return Interrupted();
  }
}

}  // namespace antidiffusion
