#include "server/worker/protect_reactor.h"

#include <utility>

#include "core/base/status_macros.h"
#include "server/wire/option_conversion.h"
#include "server/wire/wire.h"

namespace antidiffusion {

ProtectReactor* ProtectReactor::Begin(EngineThread& engine, WorkerModels& models) {
  const std::shared_ptr<ProtectReactor> reactor(new ProtectReactor(engine, models));
  MutexLock lock(reactor->mutex_);  // no reaction overtakes the construction
  reactor->self_ = reactor;
  reactor->StartRead(&reactor->incoming_);
  return reactor.get();
}

void ProtectReactor::OnReadDone(bool ok) {
  if (!ok) {  // the call was finished, or the daemon is gone
    Stop();
    if (!posted()) Close();
    return;
  }
  const absl::Status accepted = Accept(incoming_);
  if (!accepted.ok()) {
    Stop();
    worker::v1::ProtectOutput output;
    *output.mutable_failure() = ToWire(accepted);
    Say(std::move(output));
    Close();
    return;
  }
  StartRead(&incoming_);
}

absl::Status ProtectReactor::Accept(const worker::v1::ProtectInput& input) {
  if (input.has_cancel()) {
    Stop();
    return absl::OkStatus();
  }
  MutexLock lock(mutex_);
  if (posted_ || input.has_begin() == begin_.has_shape()) {
    return absl::InternalError("a part of a job that does not fit the parts before it");
  }
  if (input.has_begin()) {
    begin_ = input.begin();
    image_ = EmptyImage(begin_.shape());
  } else {
    AD_RETURN_IF_ERROR(AppendPixels(input.pixels(), image_));
  }
  if (begin_.has_shape() && IsComplete(image_)) {
    posted_ = true;
    engine_.Post([self = self_, begin = std::move(begin_), image = std::move(image_),
                  stop = stop_.get_token()] { self->Run(begin, image, stop); });
  }
  return absl::OkStatus();
}

void ProtectReactor::Stop() {
  std::stop_source stop(std::nostopstate);
  {
    MutexLock lock(mutex_);
    stop = stop_;
  }
  stop.request_stop();
}

bool ProtectReactor::posted() {
  MutexLock lock(mutex_);
  return posted_;
}

void ProtectReactor::Run(const worker::v1::Begin& begin, const Image& image,
                         const std::stop_token& stop) {
  RunContext run;
  run.stop = stop;
  if (begin.has_deadline_unix_nanos()) {
    run.deadline = absl::FromUnixNanos(begin.deadline_unix_nanos());
  }
  run.on_progress = [this](const Progress& progress) {
    worker::v1::ProtectOutput output;
    *output.mutable_progress() = ToWire(progress);
    Say(std::move(output));
  };
  run.on_alive = [this] {
    worker::v1::ProtectOutput output;
    output.mutable_alive();
    Say(std::move(output));
  };
  const auto protect = [&]() -> absl::Status {
    AD_RETURN_IF_ERROR(run.Check());
    AD_ASSIGN_OR_RETURN(Protector * model, models_.Find(begin.model()));
    AD_ASSIGN_OR_RETURN(const ProtectionOptions options, ToOptions(begin.options()));
    AD_ASSIGN_OR_RETURN(const ProtectionResult result, model->Protect(image, options, run));
    SayResult(result, model->memory());
    return absl::OkStatus();
  };
  if (const absl::Status status = protect(); !status.ok()) {
    worker::v1::ProtectOutput output;
    *output.mutable_failure() = ToWire(status);
    Say(std::move(output));
  }
  Close();
}

void ProtectReactor::SayResult(const ProtectionResult& result, const DeviceMemory& memory) {
  worker::v1::ProtectOutput output;
  *output.mutable_result() = ToWire(result);
  *output.mutable_result()->mutable_memory() = ToWire(memory);
  Say(std::move(output));
  for (size_t offset = 0; offset < result.image.pixels.size(); offset += kPixelPiece) {
    worker::v1::ProtectOutput piece;
    piece.set_pixels(PixelPiece(result.image, offset));
    Say(std::move(piece));
  }
}

void ProtectReactor::Say(worker::v1::ProtectOutput output) {
  MutexLock lock(mutex_);
  outgoing_.push_back(std::move(output));
  WriteNext();
}

void ProtectReactor::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
  WriteNext();
}

void ProtectReactor::OnWriteDone(bool ok) {
  MutexLock lock(mutex_);
  writing_ = false;
  outgoing_.pop_front();
  broken_ = broken_ || !ok;
  WriteNext();
}

void ProtectReactor::OnDone() {
  std::shared_ptr<ProtectReactor> self;  // perhaps the last: gone after the lock
  MutexLock lock(mutex_);
  self = std::move(self_);
}

void ProtectReactor::WriteNext() {
  if (broken_) {
    while (outgoing_.size() > (writing_ ? 1 : 0)) outgoing_.pop_back();
  }
  if (writing_ || finished_) return;
  if (!outgoing_.empty()) {
    writing_ = true;
    StartWrite(&outgoing_.front());
  } else if (closed_) {
    finished_ = true;
    Finish(grpc::Status::OK);
  }
}

}  // namespace antidiffusion
