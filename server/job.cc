#include "server/job.h"

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/str_format.h"
#include "server/database/job_database.h"
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

Job::Job(JobRequest request, absl::Time deadline, std::optional<double> expected_seconds, Clock now)
    : name_(RandomName()),
      request_(std::move(request)),
      bytes_(static_cast<int64_t>(request_.image.size())),
      expected_seconds_(expected_seconds),
      now_(std::move(now)),
      admitted_(now_()),
      deadline_(deadline),
      image_(std::make_shared<const std::string>(std::exchange(request_.image, ""))) {}

Job::Job(JobRequest request, JobIdentity identity, absl::Time deadline,
         std::optional<double> expected_seconds, Clock now)
    : name_(std::move(identity.name)),
      request_(std::move(request)),
      bytes_(identity.image_bytes),
      expected_seconds_(expected_seconds),
      now_(std::move(now)),
      admitted_(identity.admitted),
      deadline_(deadline) {}

std::stop_token Job::stop_token() const {
  MutexLock lock(mutex_);
  return stop_.get_token();
}

absl::Time Job::deadline() const {
  MutexLock lock(mutex_);
  return deadline_;
}

std::shared_ptr<const std::string> Job::image() const {
  MutexLock lock(mutex_);
  return image_;
}

void Job::SetImage(std::shared_ptr<const std::string> image) {
  MutexLock lock(mutex_);
  image_ = std::move(image);
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
    if (outdated) continue;
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

JobSnapshot Job::Snapshot() const {
  MutexLock lock(mutex_);
  JobSnapshot now;
  now.started = started_;
  now.attempts = attempts_;
  now.sequence = sequence_;
  now.state = started_.has_value() ? JobState::kRunning : JobState::kQueued;
  if (queued_.has_value()) now.queued = std::get<QueuedEvent>(queued_->what);
  if (progress_.has_value()) now.progress = std::get<Progress>(progress_->what);
  if (!finished()) return now;
  now.state = EndStateOf(*status_);
  now.status = *status_;
  now.ended = ended_;
  if (result_.has_value()) now.result = std::get<std::shared_ptr<const JobResult>>(result_->what);
  return now;
}

uint64_t Job::sequence() const {
  MutexLock lock(mutex_);
  return sequence_;
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

uint64_t Job::NextSequence(uint64_t at_least) {
  sequence_ = std::max(sequence_ + 1, at_least);
  return sequence_;
}

void Job::Follow(const JobNews& news) {
  {
    MutexLock lock(mutex_);
    if (finished() || news.sequence <= followed_) return;
    followed_ = news.sequence;
    attempts_ = news.attempts;
    if (news.ended.has_value()) {
      started_ = news.started;
      End(*news.ended, news.status, news.result, news.sequence);
    } else if (news.state == JobState::kQueued) {
      if (started_.has_value()) WaitAgain();
    } else if (news.running.has_value()) {
      FollowRun(news);
    }
  }
  Notify();
}

void Job::FollowRun(const JobNews& news) {
  if (started_ != news.started) {
    WaitAgain();
    started_ = news.started;
    // As the claim was numbered, which came before the progress.
    const auto claim = static_cast<uint64_t>(kSequenceSpan);
    running_ = JobEvent{NextSequence(news.sequence / claim * claim), *news.running};
  }
  if (!news.progress.has_value()) return;
  reported_ = *news.progress;
  reported_at_ = now_();
  progress_ = JobEvent{NextSequence(news.sequence), *news.progress};
}

void Job::Claim(const Claimed& claimed) {
  MutexLock lock(mutex_);
  if (finished()) return;
  WaitAgain();
  stop_ = std::stop_source();
  cancel_reason_.reset();
  deadline_ = claimed.deadline;
  attempts_ = claimed.attempts - 1;
  followed_ = std::max(followed_, claimed.sequence);
  sequence_ = std::max(sequence_, claimed.sequence - 1);
}

void Job::Start(const RunningEvent& event) {
  {
    MutexLock lock(mutex_);
    if (finished()) return;
    started_ = now_();
    ++attempts_;
    running_ = JobEvent{++sequence_, event};
  }
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
  WaitAgain();
  queued_.reset();  // its place is about to be told
}

void Job::WaitAgain() {
  started_.reset();
  running_.reset();
  progress_.reset();
  reported_.reset();
}

std::optional<RunningEvent> Job::running() const {
  MutexLock lock(mutex_);
  if (!running_.has_value()) return std::nullopt;
  return std::get<RunningEvent>(running_->what);
}

void Job::Succeed(JobResult result) {
  EndHere(absl::OkStatus(), std::make_shared<const JobResult>(std::move(result)));
}

void Job::Fail(const absl::Status& status) { EndHere(status, nullptr); }

void Job::EndHere(const absl::Status& status, std::shared_ptr<const JobResult> result) {
  {
    MutexLock lock(mutex_);
    if (finished()) return;
    const auto sequence = static_cast<uint64_t>(NextSequenceSpan(static_cast<int64_t>(sequence_)));
    End(now_(), status, std::move(result), sequence);
  }
  Notify();
}

void Job::End(absl::Time at, const absl::Status& status, std::shared_ptr<const JobResult> result,
              uint64_t sequence) {
  ended_ = at;
  status_ = status;
  image_.reset();
  progress_.reset();
  sequence = NextSequence(sequence);
  if (result != nullptr) result_ = JobEvent{sequence, std::move(result)};
}

void Job::Cancel(const absl::Status& why) {
  std::stop_source stop(std::nostopstate);
  {
    MutexLock lock(mutex_);
    if (finished() || cancel_reason_.has_value()) return;
    cancel_reason_ = why;
    cancelled_at_ = now_();
    stop = stop_;
  }
  stop.request_stop();
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
