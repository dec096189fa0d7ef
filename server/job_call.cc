#include "server/job_call.h"

#include <algorithm>
#include <string>
#include <utility>

#include "server/errors.h"
#include "server/proto_conversion.h"
#include "server/status_conversion.h"

namespace antidiffusion {
namespace {

constexpr double kSlowestReader = 256 * 1024;  // bytes a second

// The result that `next` would deliver; else null. Borrowed from it.
const JobResult* ResultOf(const Delivery& next) {
  if (!next.event.has_value()) return nullptr;
  const auto* result = std::get_if<std::shared_ptr<const JobResult>>(&next.event->what);
  return result == nullptr ? nullptr : result->get();
}

// The digest of its image, where that is in the job store alone; else "".
std::string DigestOf(const Delivery& next) {
  const JobResult* const result = ResultOf(next);
  return result != nullptr && result->image.empty() ? result->image_digest : "";
}

}  // namespace

absl::Duration JobCall::WriteLimit(size_t message_bytes) {
  return kMaxWrite + absl::Seconds(static_cast<double>(message_bytes) / kSlowestReader);
}

absl::Duration JobCall::DeadlineSlack(absl::Duration timeout) {
  return std::min(absl::Milliseconds(100) + timeout / 100, absl::Seconds(2));
}

JobCall::JobCall(grpc::CallbackServerContext* context, const Order& order, const Hooks& hooks)
    : context_(context),
      order_(order),
      hooks_(hooks),
      cursor_(order.from_sequence),
      last_write_(order.started) {}

// The listener is known here before its first call may want to take it back: Pump does nothing
// before `begun_`.
void JobCall::Begin(absl::StatusOr<std::shared_ptr<Job>> job) {
  std::optional<int> listener;
  if (job.ok()) listener = (*job)->AddListener([this] { Pump(); });
  std::optional<absl::Status> gone;
  {
    MutexLock lock(mutex_);
    gone = gone_;
    listener_ = listener;
    if (job.ok()) {
      job_ = *std::move(job);
    } else {
      gone_ = job.status();
    }
    begun_ = true;
  }
  if (gone.has_value()) Leave(gone);  // meanwhile its caller has gone
  Pump();
}

std::shared_ptr<Job> JobCall::job() {
  MutexLock lock(mutex_);
  return job_;
}

// Whether a call closed now was closed by its deadline.
bool JobCall::IsAtDeadline() const {
  if (order_.deadline == absl::InfiniteFuture()) return false;
  return hooks_.now() + DeadlineSlack(order_.deadline - order_.started) >= order_.deadline;
}

Delivery JobCall::Next() {
  if (gone_.has_value()) return {std::nullopt, gone_};
  if (image_.has_value() && !image_->ok()) return {std::nullopt, image_->status()};
  return job_->EventAfter(cursor_);
}

// False: the call waits in line for it. Where even the line is full, `next` becomes the refusal.
bool JobCall::GetRoom(Delivery& next) {
  const JobResult* const result = ResultOf(next);
  if (result == nullptr) return true;
  const ResultRoom::Answer room = hooks_.calls.AskForRoom(this, result->bytes());
  if (room == ResultRoom::Answer::kFull) next = {std::nullopt, ResultsUnreadError()};
  in_line_ = room == ResultRoom::Answer::kInLine;
  return !in_line_;
}

void JobCall::Take(const Delivery& next) {
  finished_ = next.final_status.has_value();
  writing_ = next.event.has_value();
  if (!writing_) return;
  cursor_ = next.event->sequence;
  message_ = ToProto(*next.event, job_->name());
  if (image_.has_value()) message_.mutable_result()->set_image(std::move(**image_));
  last_write_ = hooks_.now();
  write_limit_ = WriteLimit(message_.ByteSizeLong());
}

// After Finish another thread may destroy the call: nothing of it is touched from there on. What is
// started outside of the lock is alone: `reading_`, `writing_` and `finished_` keep others away.
void JobCall::Pump() {
  Delivery next;
  std::string stored_image;
  absl::Duration duration;
  {
    MutexLock lock(mutex_);
    if (!begun_ || reading_ || writing_ || finished_) return;
    next = Next();
    if (!GetRoom(next)) return;
    if (!image_.has_value()) stored_image = DigestOf(next);
    reading_ = !stored_image.empty();
    if (!reading_) Take(next);
    duration = hooks_.now() - order_.started;
  }
  if (!stored_image.empty()) {
    hooks_.read_image(*job(), stored_image,
                      [this](absl::StatusOr<std::string> image) { OnImageRead(std::move(image)); });
    return;
  }
  if (!next.final_status.has_value()) {
    if (next.event.has_value()) StartWrite(&message_);
    return;
  }
  const absl::Status status = *std::move(next.final_status);
  hooks_.on_finish(order_.rpc, status, duration);
  if (next.event.has_value()) {
    StartWriteAndFinish(&message_, grpc::WriteOptions(), ToGrpcStatus(status));
    return;
  }
  const std::string pushback = RetryPushback(status);
  if (!pushback.empty()) context_->AddTrailingMetadata("grpc-retry-pushback-ms", pushback);
  Finish(ToGrpcStatus(status));
}

void JobCall::OnImageRead(absl::StatusOr<std::string> image) {
  {
    MutexLock lock(mutex_);
    reading_ = false;
    image_ = std::move(image);
  }
  Pump();
}

void JobCall::OnWriteDone(bool ok) {
  {
    MutexLock lock(mutex_);
    writing_ = false;
  }
  if (!ok) Abandon();
  Pump();
}

void JobCall::OnCancel() {
  Abandon();
  Pump();
}

void JobCall::Abandon() {
  absl::Status why;
  {
    MutexLock lock(mutex_);  // orders what the constructor wrote before this thread's reads
    why = IsAtDeadline() ? DeadlinePassedError("running") : CallerGoneError();
    if (!gone_.has_value()) gone_ = why;
  }
  Leave(why);
}

void JobCall::Leave(const std::optional<absl::Status>& why) {
  std::shared_ptr<Job> left;
  {
    MutexLock lock(mutex_);
    if (left_ || job_ == nullptr) return;
    left_ = true;
    left = job_;
  }
  hooks_.leave(*left, why);
}

void JobCall::Tick(absl::Time now) {
  bool silent = false;
  bool in_line = false;
  std::shared_ptr<Job> followed;
  {
    MutexLock lock(mutex_);
    followed = job_;
    if (done_) return;
    if (writing_ && now - last_write_ > write_limit_) {
      context_->TryCancel();  // fails the write
      return;
    }
    silent = begun_ && !reading_ && !writing_ && !finished_ && now - last_write_ > kMaxSilence;
    in_line = in_line_;
  }
  if (followed == nullptr || (!silent && !in_line)) return;
  if (silent) followed->Refresh();
  Pump();
}

void JobCall::OnDone() {
  std::optional<int> listener;
  std::shared_ptr<Job> followed;
  {
    // gRPC comes here last, on any of its threads, by an order of its own that ThreadSanitizer
    // cannot see. This lock shows it: whatever was written under it comes before the destruction.
    MutexLock lock(mutex_);
    listener = listener_;
    followed = job_;
    done_ = true;
  }
  if (listener.has_value()) followed->RemoveListener(*listener);
  Leave(std::nullopt);
  hooks_.calls.Remove(this);
}

}  // namespace antidiffusion
