#include "server/job.h"

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/str_format.h"

namespace antidiffusion {
namespace {

std::string RandomName() {
  std::random_device device;
  std::string name;
  for (int i = 0; i < 4; ++i) name += absl::StrFormat("%08x", device());
  return name;
}

}  // namespace

Job::Job(JobRequest request, absl::Time deadline, std::optional<double> expected_seconds, Clock now,
         OnFinished on_finished)
    : name_(RandomName()),
      request_(std::move(request)),
      bytes_(static_cast<int64_t>(request_.image.size())),
      deadline_(deadline),
      expected_seconds_(expected_seconds),
      now_(std::move(now)),
      on_finished_(std::move(on_finished)),
      admitted_(now_()) {}

void Job::SetListener(std::function<void()> listener) {
  MutexLock lock(listener_mutex_);
  listener_ = std::move(listener);
}

void Job::Notify() {
  MutexLock lock(listener_mutex_);
  if (listener_) listener_();
}

Delivery Job::Take() {
  MutexLock lock(mutex_);
  Delivery delivery;
  if (end_taken_) return delivery;
  if (status_.has_value() && !status_->ok()) {
    end_taken_ = true;
    delivery.final_status = status_;
    return delivery;
  }
  for (auto* slot : {&queued_event_, &running_event_, &progress_event_, &result_event_}) {
    if (!slot->has_value()) continue;
    delivery.event = std::move(*slot);
    slot->reset();
    if (slot == &queued_event_) queued_sent_ = true;
    if (slot == &result_event_) {
      end_taken_ = true;
      delivery.final_status = status_;
    }
    break;
  }
  return delivery;
}

void Job::Refresh() {
  MutexLock lock(mutex_);
  if (finished()) return;
  if (!started_) {
    if (queued_.has_value()) queued_event_ = JobEvent{++sequence_, *queued_};
    return;
  }
  Progress progress = progress_.value_or(Progress{});
  if (progress_.has_value()) {
    const double age = absl::ToDoubleSeconds(now_() - progress_at_);
    progress.eta_seconds = std::max(0.0, progress.eta_seconds - age);
  }
  progress_event_ = JobEvent{++sequence_, std::move(progress)};
}

void Job::SetQueued(const QueuedEvent& event) {
  MutexLock lock(mutex_);
  if (finished() || started_) return;
  const bool news = !queued_.has_value() || queued_->position != event.position;
  queued_ = event;
  if (news) queued_event_ = JobEvent{++sequence_, event};
}

void Job::Start(const RunningEvent& event) {
  {
    MutexLock lock(mutex_);
    if (finished()) return;
    started_ = true;
    ++attempts_;
    if (queued_sent_) queued_event_.reset();  // an outdated position
    running_event_ = JobEvent{++sequence_, event};
  }
  Notify();
}

void Job::Report(const Progress& progress) {
  {
    MutexLock lock(mutex_);
    if (finished()) return;
    progress_ = progress;
    progress_at_ = now_();
    progress_event_ = JobEvent{++sequence_, progress};
  }
  Notify();
}

void Job::Restart() {
  MutexLock lock(mutex_);
  if (finished()) return;
  started_ = false;
  queued_.reset();
  progress_.reset();
  running_event_.reset();
  progress_event_.reset();
}

int Job::attempts() const {
  MutexLock lock(mutex_);
  return attempts_;
}

void Job::Succeed(JobResult result) {
  End(absl::OkStatus(), std::make_shared<const JobResult>(std::move(result)));
}

void Job::Fail(const absl::Status& status) { End(status, nullptr); }

void Job::End(absl::Status status, std::shared_ptr<const JobResult> result) {
  {
    MutexLock lock(mutex_);
    if (finished()) return;
    ended_ = true;
  }
  // Accounts are settled before anybody can hear of the end.
  if (on_finished_) on_finished_(*this, status);
  {
    MutexLock lock(mutex_);
    status_ = std::move(status);
    progress_event_.reset();
    if (result != nullptr) result_event_ = JobEvent{++sequence_, std::move(result)};
  }
  Notify();
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
  if (!progress_.has_value() || progress_->fraction <= 0) return expected_seconds_;
  const double age = absl::ToDoubleSeconds(now_() - progress_at_);
  return std::max(0.0, progress_->eta_seconds - age);
}

}  // namespace antidiffusion
