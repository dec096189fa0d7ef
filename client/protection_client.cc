#include "client/protection_client.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"

namespace antidiffusion {
namespace {

// A protected photograph of 50 million pixels as PNG is larger than what was sent.
constexpr int kMaxReceiveBytes = 256 << 20;

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& server) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  arguments.SetMaxSendMessageSize(-1);
  // RetryPolicy is the only one that repeats; a second one below it would multiply the attempts.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // The server is in the same network, often on loopback: a proxy meant for the web is in the way.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // A stream may be silent for 10 s; a dead connection must still be noticed.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(server, grpc::InsecureChannelCredentials(), arguments);
}

absl::Status Interrupted() { return absl::CancelledError("interrupted"); }

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
    : ProtectionClient(options, MakeChannel(options.server)) {}

ProtectionClient::ProtectionClient(const ClientOptions& options,
                                   const std::shared_ptr<grpc::Channel>& channel)
    : options_(options),
      protection_(v1::ProtectionService::NewStub(channel)),
      health_(grpc::health::v1::Health::NewStub(channel)) {}

absl::StatusOr<v1::ProtectionResult> ProtectionClient::Protect(
    const v1::ProtectRequest& request, const CallOptions& call,
    const std::function<void(const v1::JobEvent&)>& on_event) const {
  std::optional<v1::ProtectionResult> result;
  AD_RETURN_IF_ERROR(Call(call, [&](grpc::ClientContext& context) {
    Attempt attempt;
    const auto reader = protection_->Protect(&context, request);
    v1::JobEvent event;
    while (reader->Read(&event)) {
      attempt.message_received = true;
      if (event.has_result()) {
        result = std::move(*event.mutable_result());
      } else if (on_event) {
        on_event(event);
      }
    }
    attempt.status = reader->Finish();
    return attempt;
  }));
  if (!result.has_value()) {
    return absl::InternalError("the server ended the job without a result");
  }
  return *std::move(result);
}

absl::StatusOr<v1::ListModelsResponse> ProtectionClient::ListModels(const CallOptions& call) const {
  v1::ListModelsResponse response;
  AD_RETURN_IF_ERROR(Call(call, [&](grpc::ClientContext& context) {
    return Attempt{.status = protection_->ListModels(&context, v1::ListModelsRequest(), &response)};
  }));
  return response;
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

absl::Status ProtectionClient::Call(
    const CallOptions& call, const std::function<Attempt(grpc::ClientContext&)>& attempt) const {
  std::mt19937_64 generator{std::random_device{}()};
  RetryPolicy policy(options_.retry, [&generator] {
    return std::uniform_real_distribution<double>(0, 1)(generator);
  });
  for (int next_attempt = 2;; ++next_attempt) {
    if (call.stop.stop_requested()) return Interrupted();
    grpc::ClientContext context;
    if (call.deadline != absl::InfiniteFuture()) {
      context.set_deadline(absl::ToChronoTime(call.deadline));
    }
    Attempt made;
    {
      const std::stop_callback cancel(call.stop, [&context] { context.TryCancel(); });
      made = attempt(context);
    }
    if (made.status.ok()) return absl::OkStatus();
    if (call.stop.stop_requested()) return Interrupted();
    CallError error = ReadCallError(made.status, context.GetServerTrailingMetadata());
    if (IsUnreachable(error.status)) {
      error.status = absl::UnavailableError(
          absl::StrCat("server ", options_.server, ": ", error.status.message()));
    }
    if (absl::IsDeadlineExceeded(error.status) && !GetErrorReason(error.status).has_value()) {
      return absl::DeadlineExceededError("the time given ended before the answer came");
    }
    if (made.message_received || !call.retry) return error.status;
    const std::optional<absl::Duration> delay = policy.NextDelay(error);
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
