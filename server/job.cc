#include "server/job.h"

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/str_format.h"
#include "server/errors.h"

namespace antidiffusion {
namespace {

std::string RandomName() {
  std::random_device device;
  std::string name;
  for (int i = 0; i < 4; ++i) name += absl::StrFormat("%08x", device());
  return name;
}

}  // namespace

JobState EndStateOf(const absl::Status& status) {
  if (status.ok()) return JobState::kSucceeded;
  if (absl::IsDeadlineExceeded(status)) return JobState::kExpired;
  if (absl::IsCancelled(status) || ReasonOf(status) == reason::kShutdown) {
    return JobState::kCancelled;
  }
  return JobState::kFailed;
}

Job::Job(JobRequest request, absl::Time deadline, std::optional<double> expected_seconds, Clock now,
         OnFinished on_finished, OnStarted on_started)
    : name_(RandomName()),
      request_(std::move(request)),
      bytes_(static_cast<int64_t>(request_.image.size())),
      deadline_(deadline),
      expected_seconds_(expected_seconds),
      now_(std::move(now)),
      on_finished_(std::move(on_finished)),
      on_started_(std::move(on_started)),
      admitted_(now_()),
      image_(std::make_shared<const std::string>(std::exchange(request_.image, ""))) {}

Job::Job(JobRequest request, const JobPast& past, absl::Time deadline, Clock now,
         OnFinished on_finished, OnStarted on_started)
    : name_(past.name),
      request_(std::move(request)),
      bytes_(static_cast<int64_t>(request_.image.size())),
      deadline_(deadline),
      now_(std::move(now)),
      on_finished_(std::move(on_finished)),
      on_started_(std::move(on_started)),
      admitted_(past.admitted),
      image_(std::make_shared<const std::string>(std::exchange(request_.image, ""))),
      sequence_(past.sequence),
      attempts_(past.attempts),
      started_(past.started),
      ended_(past.ended),
      end_status_(past.status) {
  if (!ended_.has_value()) return;
  status_ = past.status;
  if (past.result != nullptr) result_ = JobEvent{sequence_, past.result};
}

std::shared_ptr<const std::string> Job::image() const {
  MutexLock lock(mutex_);
  return image_;
}

int Job::AddListener(std::function<void()> listener) {
  MutexLock lock(listener_mutex_);
  listeners_[next_listener_] = std::move(listener);
  return next_listener_++;
}

void Job::RemoveListener(int id) {
  MutexLock lock(listener_mutex_);
  listeners_.erase(id);
}

void Job::Notify() {
  MutexLock lock(listener_mutex_);
  for (const auto& [id, listener] : listeners_) listener();
}

Delivery Job::EventAfter(uint64_t cursor) const {
  MutexLock lock(mutex_);
  if (status_.has_value() && !status_->ok()) return {std::nullopt, status_};
  Delivery delivery;
  for (const auto* event : {&queued_, &running_, &progress_, &result_}) {  // as they were numbered
    if (!event->has_value() || (*event)->sequence <= cursor) continue;
    const bool outdated = event == &queued_ && running_.has_value() && cursor > 0;
    const bool secret = event == &result_ && !status_.has_value();
    if (outdated || secret) continue;
    delivery.event = *event;
    if (event == &result_) delivery.final_status = status_;
    return delivery;
  }
  delivery.final_status = status_;  // of a reader who has the result already
  return delivery;
}

void Job::Refresh() {
  MutexLock lock(mutex_);
  if (finished()) return;
  if (!started_.has_value()) {
    if (queued_.has_value()) queued_->sequence = ++sequence_;
    return;
  }
  Progress progress = reported_.value_or(Progress{});
  if (reported_.has_value()) {
    const double age = absl::ToDoubleSeconds(now_() - reported_at_);
    progress.eta_seconds = std::max(0.0, progress.eta_seconds - age);
  }
  progress_ = JobEvent{++sequence_, std::move(progress)};
}

JobSnapshot Job::Snapshot(View view) const {
  MutexLock lock(mutex_);
  JobSnapshot now;
  now.started = started_;
  now.attempts = attempts_;
  now.sequence = sequence_;
  now.state = started_.has_value() ? JobState::kRunning : JobState::kQueued;
  if (queued_.has_value()) now.queued = std::get<QueuedEvent>(queued_->what);
  if (progress_.has_value()) now.progress = std::get<Progress>(progress_->what);
  if (view == View::kPublic ? !status_.has_value() : !finished()) return now;
  now.state = EndStateOf(end_status_);
  now.status = end_status_;
  now.ended = ended_;
  if (result_.has_value()) now.result = std::get<std::shared_ptr<const JobResult>>(result_->what);
  return now;
}

int Job::attempts() const {
  MutexLock lock(mutex_);
  return attempts_;
}

void Job::SetQueued(const QueuedEvent& event) {
  MutexLock lock(mutex_);
  if (finished() || started_.has_value()) return;
  const bool news =
      !queued_.has_value() || std::get<QueuedEvent>(queued_->what).position != event.position;
  queued_ = JobEvent{news ? ++sequence_ : queued_->sequence, event};
}

void Job::Start(const RunningEvent& event) {
  {
    MutexLock lock(mutex_);
    if (finished()) return;
    started_ = now_();
    ++attempts_;
    running_ = JobEvent{++sequence_, event};
  }
  if (on_started_) on_started_(*this);
  Notify();
}

void Job::Report(const Progress& progress) {
  {
    MutexLock lock(mutex_);
    if (finished()) return;
    reported_ = progress;
    reported_at_ = now_();
    progress_ = JobEvent{++sequence_, progress};
  }
  Notify();
}

void Job::Restart() {
  MutexLock lock(mutex_);
  if (finished()) return;
  started_.reset();
  queued_.reset();  // the queue is about to tell the place
  running_.reset();
  progress_.reset();
  reported_.reset();
}

void Job::Succeed(JobResult result) {
  End(absl::OkStatus(), std::make_shared<const JobResult>(std::move(result)));
}

void Job::SucceedAs(std::shared_ptr<const JobResult> result) {
  End(absl::OkStatus(), std::move(result));
}

void Job::Fail(const absl::Status& status) { End(status, nullptr); }

void Job::Refuse(const absl::Status& status) { End(status, nullptr, /*settle=*/false); }

void Job::End(absl::Status status, std::shared_ptr<const JobResult> result, bool settle) {
  {
    MutexLock lock(mutex_);
    if (finished()) return;
    ended_ = now_();
    end_status_ = status;
    image_.reset();
    progress_.reset();
    if (result != nullptr) result_ = JobEvent{++sequence_, std::move(result)};
  }
  // Accounts are settled before anybody can hear of the end.
  if (settle && on_finished_) on_finished_(*this, status);
  {
    MutexLock lock(mutex_);
    status_ = std::move(status);
  }
  Notify();
}

void Job::ResultStored(const std::string& digest) {
  MutexLock lock(mutex_);
  if (!result_.has_value()) return;
  const auto held = std::get<std::shared_ptr<const JobResult>>(result_->what);
  if (held->image.empty()) return;
  auto stored = std::make_shared<JobResult>();
  stored->image_digest = digest;
  stored->image_bytes = static_cast<int64_t>(held->image.size());
  stored->format = held->format;
  stored->report = held->report;
  stored->model = held->model;
  stored->seed = held->seed;
  stored->unet_passes = held->unet_passes;
  stored->stage_seconds = held->stage_seconds;
  result_->what = std::shared_ptr<const JobResult>(std::move(stored));
}

void Job::Cancel(const absl::Status& why) {
  {
    MutexLock lock(mutex_);
    if (finished() || cancel_reason_.has_value()) return;
    cancel_reason_ = why;
    cancelled_at_ = now_();
  }
  stop_.request_stop();
}

std::optional<absl::Status> Job::cancel_reason() const {
  MutexLock lock(mutex_);
  return cancel_reason_;
}

absl::Duration Job::since_cancel() const {
  MutexLock lock(mutex_);
  return cancel_reason_.has_value() ? now_() - cancelled_at_ : absl::ZeroDuration();
}

std::optional<double> Job::remaining_seconds() const {
  MutexLock lock(mutex_);
  if (!reported_.has_value() || reported_->fraction <= 0) return expected_seconds_;
  const double age = absl::ToDoubleSeconds(now_() - reported_at_);
  return std::max(0.0, reported_->eta_seconds - age);
}

}  // namespace antidiffusion
