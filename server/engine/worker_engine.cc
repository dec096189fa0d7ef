#include "server/engine/worker_engine.h"

#include <grpcpp/client_context.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "server/engine/remote_protector.h"
#include "server/wire/message_conversion.h"
#include "server/wire/wire.h"

namespace antidiffusion {
namespace {

constexpr int kLoadFactor = 10;                        // of the hang timeout
constexpr absl::Duration kMaxExit = absl::Seconds(2);  // for a killed process to be told of

absl::Status DiedError(const std::string& ending) {
  return WithReason(absl::UnavailableError(absl::StrCat("the worker process died: ", ending)),
                    {"WORKER_DIED", {{"ending", ending}}});
}

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceEngine>> WorkerEngine::Start(
    const WorkerSpawnOptions& options, std::function<void()> on_failure) {
  AD_ASSIGN_OR_RETURN(std::unique_ptr<WorkerProcess> process,
                      WorkerProcess::Spawn(options.program, std::move(on_failure)));
  return std::unique_ptr<DeviceEngine>(new WorkerEngine(options, std::move(process)));
}

WorkerEngine::WorkerEngine(const WorkerSpawnOptions& options,
                           std::unique_ptr<WorkerProcess> process)
    : options_(options),
      process_(std::move(process)),
      stub_(worker::v1::Worker::NewStub(process_->channel())) {}

absl::StatusOr<std::unique_ptr<Protector>> WorkerEngine::Load(const LoadOptions& options,
                                                              std::stop_token stop) {
  const std::stop_callback on_stop(stop, [this] { process_->Kill(); });
  const absl::Duration limit = kLoadFactor * options_.hang_timeout;
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + limit));
  worker::v1::LoadReply reply;
  const grpc::Status status = stub_->Load(&context, ToWire(options), &reply);
  if (!status.ok()) return CallFailed(status, limit);
  if (reply.has_failure()) return FromWire(reply.failure());
  ModelInfo info = FromProto(reply.model());
  info.notes = {reply.notes().begin(), reply.notes().end()};
  return std::make_unique<RemoteProtector>(*this, std::move(info), FromWire(reply.memory()));
}

absl::Status WorkerEngine::health() const {
  {
    MutexLock lock(mutex_);
    if (!lost_.ok()) return lost_;
  }
  const std::optional<std::string> ending = process_->ending();
  return ending.has_value() ? DiedError(*ending) : absl::OkStatus();
}

absl::Status WorkerEngine::CallFailed(const grpc::Status& status, absl::Duration deadline) {
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) return Hung(deadline);
  return Died();
}

absl::Status WorkerEngine::Died() {
  process_->Kill();  // whatever broke the connection
  return Lose(DiedError(process_->WaitEnding(kMaxExit).value_or("it cannot be killed")));
}

absl::Status WorkerEngine::Hung(absl::Duration silence) {
  process_->Kill();
  return Lose(
      WithReason(absl::UnavailableError(absl::StrCat("the worker process hangs: no word for ",
                                                     absl::FormatDuration(silence))),
                 {"WORKER_HUNG", {}}));
}

absl::Status WorkerEngine::Faulty(const absl::Status& self_test) {
  process_->Kill();
  return Lose(WithReason(absl::UnavailableError(absl::StrCat("the device failed its self-test: ",
                                                             self_test.message())),
                         {"DEVICE_FAULT", {}}));
}

absl::Status WorkerEngine::Spoilt(const absl::Status& error) {
  process_->Kill();
  return Lose(WithReason(absl::UnavailableError(absl::StrCat(
                             "the model's weights could not be restored: ", error.message())),
                         {kWeightsNotRestored, {}}));
}

absl::Status WorkerEngine::Lose(absl::Status why) {
  MutexLock lock(mutex_);
  if (lost_.ok()) lost_ = std::move(why);
  return lost_;
}

EngineFactory SpawnWorkers(const WorkerSpawnOptions& options) {
  return [options](const std::string& /*device*/, std::function<void()> on_failure) {
    return WorkerEngine::Start(options, std::move(on_failure));
  };
}

}  // namespace antidiffusion
