#include "server/engine/protect_stream.h"

#include <utility>

#include "absl/time/clock.h"
#include "server/wire/wire.h"

namespace antidiffusion {

ProtectStream::ProtectStream(worker::v1::Worker::Stub& stub, const worker::v1::Begin& begin,
                             const Image& image)
    : image_(image) {
  MutexLock lock(mutex_);
  *outgoing_.mutable_begin() = begin;
  stub.async()->Protect(&context_, this);
  AddHold();  // Cancel writes from outside of gRPC's reactions
  StartWrite(&outgoing_);
  StartRead(&incoming_);
  StartCall();
}

ProtectStream::~ProtectStream() {
  MutexLock lock(mutex_);
  if (!ended_) context_.TryCancel();
  cancel_sent_ = true;  // no write begins from here on
  sent_ = image_.pixels.size();
  RemoveHold();
  while (!done_) changed_.Wait(lock);
}

void ProtectStream::Cancel() {
  MutexLock lock(mutex_);
  cancel_wanted_ = true;
  WriteNext();
}

ProtectStream::Event ProtectStream::Next(absl::Duration timeout,
                                         worker::v1::ProtectOutput& output) {
  MutexLock lock(mutex_);
  const absl::Time end = absl::Now() + timeout;
  while (received_.empty()) {
    if (ended_) return Event::kEnded;
    const absl::Duration left = end - absl::Now();
    if (left <= absl::ZeroDuration()) return Event::kTimedOut;
    changed_.WaitFor(lock, left);
  }
  output = std::move(received_.front());
  received_.pop_front();
  return Event::kOutput;
}

void ProtectStream::OnReadDone(bool ok) {
  MutexLock lock(mutex_);
  if (ok) {
    received_.push_back(std::move(incoming_));
    StartRead(&incoming_);
  } else {
    ended_ = true;
  }
  changed_.NotifyAll();
}

void ProtectStream::OnWriteDone(bool ok) {
  MutexLock lock(mutex_);
  writing_ = false;
  write_failed_ = !ok;
  WriteNext();
}

void ProtectStream::WriteNext() {
  if (writing_ || write_failed_ || ended_) return;
  if (sent_ < image_.pixels.size()) {
    outgoing_.set_pixels(PixelPiece(image_, sent_));
    sent_ += outgoing_.pixels().size();
  } else if (cancel_wanted_ && !cancel_sent_) {
    outgoing_.mutable_cancel();
    cancel_sent_ = true;
  } else {
    return;
  }
  writing_ = true;
  StartWrite(&outgoing_);
}

void ProtectStream::OnDone(const grpc::Status& /*status*/) {
  MutexLock lock(mutex_);
  done_ = true;
  changed_.NotifyAll();
}

}  // namespace antidiffusion
