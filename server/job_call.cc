#include "server/job_call.h"

#include <algorithm>
#include <string>
#include <utility>

#include "server/errors.h"
#include "server/proto_conversion.h"
#include "server/status_conversion.h"

namespace antidiffusion {
namespace {

// The result that `event` tells of; else null. Borrowed from it.
const JobResult* ResultOf(const JobEvent& event) {
  const auto* result = std::get_if<std::shared_ptr<const JobResult>>(&event.what);
  return result == nullptr ? nullptr : result->get();
}

}  // namespace

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
void JobCall::Begin(absl::StatusOr<std::shared_ptr<Job>> job,
                    std::optional<uint64_t> from_sequence) {
  std::optional<int> listener;
  if (job.ok()) listener = (*job)->AddListener([this] { Pump(); });
  std::optional<absl::Status> gone;
  {
    MutexLock lock(mutex_);
    gone = gone_;
    listener_ = listener;
    cursor_ = from_sequence.value_or(cursor_);
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

JobCall::Step JobCall::Next() {
  if (gone_.has_value()) return {.end = gone_};
  return image_.has_value() ? NextPiece() : NextEvent();
}

JobCall::Step JobCall::NextEvent() {
  const Delivery next = job_->EventAfter(cursor_);
  if (!next.event.has_value()) return {.end = next.final_status};
  cursor_ = next.event->sequence;
  message_ = ToProto(*next.event, job_->name());
  const JobResult* const result = ResultOf(*next.event);
  if (result == nullptr) return {.write = true, .end = next.final_status};
  image_.emplace(ImagePlace{.offset = order_.image_offset, .size = result->bytes()});
  if (!result->image.empty()) hooks_.unread.Add(this, job_.get(), result->bytes());
  const bool done = image_->offset >= image_->size;
  return {.write = true, .end = done ? next.final_status : std::nullopt};
}

// The image is in memory where the job was followed or run here as it ended, else in the database.
JobCall::Step JobCall::NextPiece() {
  if (image_->stored_piece.has_value()) {
    if (!image_->stored_piece->ok()) return {.end = image_->stored_piece->status()};
    std::string bytes = **std::exchange(image_->stored_piece, std::nullopt);
    return SendPiece(std::move(bytes));
  }
  const std::shared_ptr<const JobResult> result = job_->Snapshot().result;
  if (!result->image.empty()) {
    return SendPiece(result->image.substr(static_cast<size_t>(image_->offset), kChunkBytes));
  }
  return {.read = StoredPiece{.digest = result->image_digest,
                              .offset = image_->offset,
                              .size = std::min(kChunkBytes, image_->size - image_->offset),
                              .check = !std::exchange(image_->checked, true)}};
}

JobCall::Step JobCall::SendPiece(std::string bytes) {
  message_.Clear();
  message_.set_sequence(cursor_);
  message_.mutable_chunk()->set_offset(image_->offset);
  image_->offset += static_cast<int64_t>(bytes.size());
  message_.mutable_chunk()->set_data(std::move(bytes));
  const bool done = image_->offset >= image_->size;
  return {.write = true, .end = done ? std::optional(absl::OkStatus()) : std::nullopt};
}

// After Finish another thread may destroy the call: nothing of it is touched from there on. What is
// started outside of the lock is alone: `reading_`, `writing_` and `finished_` keep others away.
void JobCall::Pump() {
  Step next;
  absl::Duration duration;
  {
    MutexLock lock(mutex_);
    if (!begun_ || reading_ || writing_ || finished_) return;
    next = Next();
    reading_ = next.read.has_value();
    writing_ = next.write;
    finished_ = next.end.has_value();
    if (finished_ && !next.end->ok()) failed_ = next.end;
    if (writing_) last_write_ = hooks_.now();
    duration = hooks_.now() - order_.started;
  }
  if (next.read.has_value()) {
    hooks_.read_image(*job(), *next.read,
                      [this](absl::StatusOr<std::string> piece) { OnPieceRead(std::move(piece)); });
  } else if (next.end.has_value()) {
    End(next, duration);
  } else if (next.write) {
    StartWrite(&message_);
  }
}

void JobCall::End(const Step& last, absl::Duration duration) {
  hooks_.on_finish(order_.rpc, *last.end, duration);
  if (last.write) {
    StartWriteAndFinish(&message_, grpc::WriteOptions(), ToGrpcStatus(*last.end));
    return;
  }
  const std::string pushback = RetryPushback(*last.end);
  if (!pushback.empty()) context_->AddTrailingMetadata("grpc-retry-pushback-ms", pushback);
  Finish(ToGrpcStatus(*last.end));
}

void JobCall::OnPieceRead(absl::StatusOr<std::string> piece) {
  {
    MutexLock lock(mutex_);
    reading_ = false;
    image_->stored_piece = std::move(piece);
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
  std::shared_ptr<Job> followed;
  {
    MutexLock lock(mutex_);
    followed = job_;
    if (done_) return;
    if (writing_ && now - last_write_ > kMaxWrite) {
      context_->TryCancel();  // fails the write
      return;
    }
    silent = begun_ && !reading_ && !writing_ && !finished_ && now - last_write_ > kMaxSilence;
  }
  if (followed == nullptr || !silent) return;
  followed->Refresh();
  Pump();
}

void JobCall::OnDone() {
  std::optional<int> listener;
  std::optional<absl::Status> failed;
  std::shared_ptr<Job> followed;
  {
    // gRPC comes here last, on any of its threads, by an order of its own that ThreadSanitizer
    // cannot see. This lock shows it: whatever was written under it comes before the destruction.
    MutexLock lock(mutex_);
    listener = listener_;
    failed = failed_;
    followed = job_;
    done_ = true;
  }
  if (listener.has_value()) followed->RemoveListener(*listener);
  Leave(failed);
  hooks_.unread.Leave(this);
  hooks_.calls.Remove(this);
}

}  // namespace antidiffusion
