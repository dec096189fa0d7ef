#include "server/protect_call.h"

#include <string>
#include <utility>

#include "server/errors.h"
#include "server/proto_conversion.h"

namespace antidiffusion {
namespace {

// A client's deadline fires a little before the server's: it was sent rounded up, to 1 % at most,
// and travelled. A call closed this close to its deadline was closed by the deadline.
bool IsAtDeadline(const Job& job, absl::Time now) {
  if (job.deadline() == absl::InfiniteFuture()) return false;
  const absl::Duration slack = absl::Milliseconds(100) + (job.deadline() - job.admitted()) / 100;
  return now + slack >= job.deadline();
}

}  // namespace

ProtectCall::ProtectCall(grpc::CallbackServerContext* context,
                         absl::StatusOr<std::shared_ptr<Job>> job, absl::Time started,
                         const Hooks& hooks)
    : context_(context),
      refusal_(job.status()),
      job_(job.ok() ? *std::move(job) : nullptr),
      started_(started),
      hooks_(hooks),
      last_write_(started) {}

void ProtectCall::Begin() {
  if (job_ != nullptr) job_->SetListener([this] { Pump(); });
  Pump();
}

Delivery ProtectCall::Next() {
  if (job_ == nullptr) return {std::nullopt, refusal_};
  if (gone_.has_value()) return {std::nullopt, gone_};
  return job_->Take();
}

// After Finish another thread may destroy the call: nothing of it is touched from there on. What is
// started outside of the lock is alone: `writing_` and `finished_` keep others away.
void ProtectCall::Pump() {
  Delivery next;
  absl::Duration duration;
  {
    MutexLock lock(mutex_);
    if (writing_ || finished_) return;
    next = Next();
    finished_ = next.final_status.has_value();
    writing_ = next.event.has_value();
    if (writing_) {
      message_ = ToProto(*next.event, job_->name());
      last_write_ = hooks_.now();
    }
    duration = hooks_.now() - started_;
  }
  if (!next.final_status.has_value()) {
    if (next.event.has_value()) StartWrite(&message_);
    return;
  }
  const absl::Status status = *std::move(next.final_status);
  hooks_.on_finish(status, duration);
  if (next.event.has_value()) {
    StartWriteAndFinish(&message_, grpc::WriteOptions(), ToGrpcStatus(status));
    return;
  }
  const std::string pushback = RetryPushback(status);
  if (!pushback.empty()) context_->AddTrailingMetadata("grpc-retry-pushback-ms", pushback);
  Finish(ToGrpcStatus(status));
}

void ProtectCall::OnWriteDone(bool ok) {
  {
    MutexLock lock(mutex_);
    writing_ = false;
  }
  if (!ok) Abandon();
  Pump();
}

void ProtectCall::OnCancel() {
  Abandon();
  Pump();
}

void ProtectCall::Abandon() {
  const bool late = job_ != nullptr && IsAtDeadline(*job_, hooks_.now());
  const absl::Status why = late ? DeadlinePassedError("running") : CallerGoneError();
  {
    MutexLock lock(mutex_);
    if (!gone_.has_value()) gone_ = why;
  }
  if (job_ != nullptr) hooks_.abandon(job_, why);
}

void ProtectCall::Tick(absl::Time now) {
  bool silent = false;
  {
    MutexLock lock(mutex_);
    if (writing_ && now - last_write_ > kMaxWrite) {
      context_->TryCancel();  // fails the write
      return;
    }
    silent = !writing_ && !finished_ && now - last_write_ > kMaxSilence;
  }
  if (!silent || job_ == nullptr) return;
  job_->Refresh();
  Pump();
}

void ProtectCall::OnDone() {
  if (job_ != nullptr) job_->SetListener(nullptr);
  hooks_.on_done(this);
}

}  // namespace antidiffusion
