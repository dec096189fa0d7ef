#include "server/engine/remote_protector.h"

#include <grpcpp/client_context.h>

#include <algorithm>
#include <optional>
#include <stop_token>
#include <utility>

#include "absl/time/clock.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "server/engine/protect_stream.h"
#include "server/wire/option_conversion.h"
#include "server/wire/wire.h"

namespace antidiffusion {
namespace {

constexpr int kFirstStepFactor = 5;  // of the hang timeout
constexpr int kSlowestFactor = 10;
constexpr double kLeastSeconds = 1e-12;                // a step of no time was one, too
constexpr double kMostWorkPixels = 4.0 * 1024 * 1024;  // see PlanWork

worker::v1::Begin MakeBegin(const std::string& model, const Image& image,
                            const ProtectionOptions& options, const RunContext& run) {
  worker::v1::Begin begin;
  begin.set_model(model);
  *begin.mutable_shape() = ShapeOf(image);
  *begin.mutable_options() = ToProto(options);
  if (run.deadline != absl::InfiniteFuture()) {
    // The worker's clock is the system's, `run.now` perhaps a test's.
    begin.set_deadline_unix_nanos(absl::ToUnixNanos(absl::Now() + (run.deadline - run.now())));
  }
  return begin;
}

bool WeightsNotRestored(const absl::Status& status) {
  const auto reason = GetErrorReason(status);
  return reason.has_value() && reason->reason == kWeightsNotRestored;
}

}  // namespace

absl::StatusOr<ProtectionResult> RemoteProtector::Protect(const Image& image,
                                                          const ProtectionOptions& options,
                                                          const RunContext& run) {
  AD_RETURN_IF_ERROR(engine_.health());
  AD_RETURN_IF_ERROR(run.Check());
  absl::StatusOr<ProtectionResult> result = absl::UnknownError("no result");
  {
    ProtectStream stream(engine_.stub(), MakeBegin(info_.name, image, options, run), image);
    const std::stop_callback on_stop(run.stop, [&stream] { stream.Cancel(); });
    result = Receive(stream, image, run.on_progress);
  }
  if (WeightsNotRestored(result.status())) return engine_.Spoilt(result.status());
  if (absl::IsInternal(result.status())) {
    AD_RETURN_IF_ERROR(SelfTest());
  }
  return result;
}

absl::StatusOr<ProtectionResult> RemoteProtector::Receive(
    ProtectStream& stream, const Image& image,
    const std::function<void(const Progress&)>& on_progress) {
  std::optional<ProtectionResult> result;
  while (!result.has_value() || !IsComplete(result->image)) {
    worker::v1::ProtectOutput output;
    const absl::Duration allowed = SilenceAllowed(WorkPixels(image));
    const ProtectStream::Event event = stream.Next(allowed, output);
    if (event == ProtectStream::Event::kTimedOut) return engine_.Hung(allowed);
    if (event == ProtectStream::Event::kEnded) return engine_.Died();
    if (output.has_alive()) continue;
    if (output.has_failure()) return FromWire(output.failure());
    if (output.has_progress()) {
      const Progress progress = FromWire(output.progress());
      CountStep(progress, WorkPixels(image));
      if (on_progress) on_progress(progress);
    } else if (output.has_result() && IsShapeOf(output.result().shape(), image)) {
      result = FromWire(output.result());
      memory_ = FromWire(output.result().memory());
    } else if (!result.has_value() || !AppendPixels(output.pixels(), result->image).ok()) {
      return engine_.Died();  // it does not keep to the protocol
    }
  }
  return *std::move(result);
}

absl::Status RemoteProtector::SelfTest() {
  grpc::ClientContext context;
  const absl::Duration allowed = SilenceAllowed(1);
  context.set_deadline(absl::ToChronoTime(absl::Now() + allowed));
  worker::v1::SelfTestRequest request;
  request.set_model(info_.name);
  worker::v1::SelfTestReply reply;
  const grpc::Status status = engine_.stub().SelfTest(&context, request, &reply);
  if (!status.ok()) return engine_.CallFailed(status, allowed);
  if (reply.has_failure()) {
    const absl::Status failure = FromWire(reply.failure());
    return WeightsNotRestored(failure) ? engine_.Spoilt(failure) : engine_.Faulty(failure);
  }
  memory_ = FromWire(reply.memory());
  return absl::OkStatus();
}

absl::Duration RemoteProtector::SilenceAllowed(double pixels) const {
  const absl::Duration usual = engine_.hang_timeout();
  if (slowest_a_pixel_ == 0) return kFirstStepFactor * usual;
  return std::max(usual, kSlowestFactor * absl::Seconds(slowest_a_pixel_ * pixels));
}

void RemoteProtector::CountStep(const Progress& progress, double pixels) {
  slowest_a_pixel_ = std::max({slowest_a_pixel_, progress.step_seconds / pixels, kLeastSeconds});
}

double RemoteProtector::WorkPixels(const Image& image) const {
  if (info_.native_side > 0) return 1;
  return std::min(kMostWorkPixels, double{1} * image.width * image.height);
}

}  // namespace antidiffusion
