#include "server/protect_call.h"

#include <algorithm>
#include <string>
#include <utility>

#include "server/errors.h"
#include "server/proto_conversion.h"

namespace antidiffusion {
namespace {

constexpr double kSlowestReader = 256 * 1024;  // bytes a second

// Whether a call closed now was closed by its deadline.
bool IsAtDeadline(const Job& job, absl::Time now) {
  if (job.deadline() == absl::InfiniteFuture()) return false;
  return now + ProtectCall::DeadlineSlack(job.deadline() - job.admitted()) >= job.deadline();
}

}  // namespace

absl::Duration ProtectCall::WriteLimit(size_t message_bytes) {
  return kMaxWrite + absl::Seconds(static_cast<double>(message_bytes) / kSlowestReader);
}

absl::Duration ProtectCall::DeadlineSlack(absl::Duration timeout) {
  return std::min(absl::Milliseconds(100) + timeout / 100, absl::Seconds(2));
}

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
      write_limit_ = WriteLimit(message_.ByteSizeLong());
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
  absl::Status why;
  {
    MutexLock lock(mutex_);
    const bool late = job_ != nullptr && IsAtDeadline(*job_, hooks_.now());
    why = late ? DeadlinePassedError("running") : CallerGoneError();
    if (!gone_.has_value()) gone_ = why;
  }
  if (job_ != nullptr) hooks_.abandon(job_, why);
}

void ProtectCall::Tick(absl::Time now) {
  bool silent = false;
  {
    MutexLock lock(mutex_);
    if (writing_ && now - last_write_ > write_limit_) {
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
  // gRPC comes here last, on any of its threads, by an order of its own that ThreadSanitizer cannot
  // see. This lock shows it: whatever was written under it comes before the destruction.
  { MutexLock lock(mutex_); }
  hooks_.on_done(this);
}

}  // namespace antidiffusion
