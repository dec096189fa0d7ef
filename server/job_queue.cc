#include "server/job_queue.h"

#include <algorithm>
#include <utility>

#include "server/errors.h"

namespace antidiffusion {
namespace {

// What a refused caller is told when the queue's speed is not known yet, and the bounds of what it
// is told when it is.
constexpr absl::Duration kUnknownRetry = absl::Seconds(5);
constexpr absl::Duration kMinRetry = absl::Seconds(1);
constexpr absl::Duration kMaxRetry = absl::Seconds(60);

void NotifyAll(const std::vector<std::shared_ptr<Job>>& jobs) {
  for (const std::shared_ptr<Job>& job : jobs) job->Notify();
}

}  // namespace

absl::Status JobQueue::TryPush(std::shared_ptr<Job> job) {
  MutexLock lock(mutex_);
  if (closed_) return DrainingError();
  if (waiting_.size() >= limits_.count) return QueueFullError(limits_.count, RetryDelay());
  if (bytes_ + job->bytes() > limits_.bytes) {
    return QueueBytesFullError(limits_.bytes, RetryDelay());
  }
  bytes_ += job->bytes();
  waiting_.push_back(std::move(job));
  UpdatePositions();
  not_empty_.NotifyOne();
  return absl::OkStatus();
}

std::shared_ptr<Job> JobQueue::Pop() {
  std::shared_ptr<Job> job;
  std::vector<std::shared_ptr<Job>> moved;
  {
    MutexLock lock(mutex_);
    while (waiting_.empty() && !closed_) not_empty_.Wait(lock);
    if (waiting_.empty()) return nullptr;
    job = std::move(waiting_.front());
    waiting_.pop_front();
    bytes_ -= job->bytes();
    running_.push_back(job);
    moved = UpdatePositions();
  }
  NotifyAll(moved);
  return job;
}

void JobQueue::Done(const Job& job) {
  std::vector<std::shared_ptr<Job>> moved;
  {
    MutexLock lock(mutex_);
    std::erase_if(running_, [&](const auto& other) { return other.get() == &job; });
    moved = UpdatePositions();
  }
  NotifyAll(moved);
}

bool JobQueue::Remove(const Job& job) {
  return !TakeIf([&](const Job& other) { return &other == &job; }).empty();
}

std::vector<std::shared_ptr<Job>> JobQueue::TakeExpired(absl::Time now) {
  return TakeIf([now](const Job& job) { return job.deadline() <= now; });
}

std::vector<std::shared_ptr<Job>> JobQueue::TakeAll() {
  return TakeIf([](const Job&) { return true; });
}

std::vector<std::shared_ptr<Job>> JobQueue::TakeIf(const std::function<bool(const Job&)>& wanted) {
  std::vector<std::shared_ptr<Job>> taken;
  std::vector<std::shared_ptr<Job>> moved;
  {
    MutexLock lock(mutex_);
    std::erase_if(waiting_, [&](const std::shared_ptr<Job>& job) {
      if (!wanted(*job)) return false;
      taken.push_back(job);
      return true;
    });
    if (taken.empty()) return taken;
    for (const std::shared_ptr<Job>& job : taken) bytes_ -= job->bytes();
    moved = UpdatePositions();
  }
  NotifyAll(moved);
  return taken;
}

void JobQueue::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
  not_empty_.NotifyAll();
}

bool JobQueue::closed() const {
  MutexLock lock(mutex_);
  return closed_;
}

std::optional<double> JobQueue::WaitSeconds() const {
  MutexLock lock(mutex_);
  WorkBefore before = RunningWork();
  for (const std::shared_ptr<Job>& job : waiting_) before.Add(*job);
  return before.Seconds(limits_.workers);
}

JobQueue::Load JobQueue::load() const {
  MutexLock lock(mutex_);
  return {waiting_.size(), bytes_, running_.size()};
}

std::vector<std::shared_ptr<Job>> JobQueue::running() const {
  MutexLock lock(mutex_);
  return running_;
}

std::vector<std::shared_ptr<Job>> JobQueue::UpdatePositions() {
  WorkBefore before = RunningWork();
  for (const std::shared_ptr<Job>& job : waiting_) {
    const std::optional<double> wait = before.Seconds(limits_.workers);
    const std::optional<double> own = job->remaining_seconds();
    const double eta = wait.has_value() && own.has_value() ? *wait + *own : 0;
    job->SetQueued({static_cast<int>(before.jobs), eta});
    before.Add(*job);
  }
  return {waiting_.begin(), waiting_.end()};
}

JobQueue::WorkBefore JobQueue::RunningWork() const {
  WorkBefore work;
  for (const std::shared_ptr<Job>& job : running_) work.Add(*job);
  return work;
}

void JobQueue::WorkBefore::Add(const Job& job) {
  const std::optional<double> own = job.remaining_seconds();
  ++jobs;
  known = known && own.has_value();
  seconds += own.value_or(0);
}

std::optional<double> JobQueue::WorkBefore::Seconds(int workers) const {
  if (jobs < static_cast<size_t>(workers)) return 0;
  if (!known) return std::nullopt;
  return seconds / workers;
}

// When the next job should leave the queue.
absl::Duration JobQueue::RetryDelay() const {
  std::optional<double> soonest;
  for (const std::shared_ptr<Job>& job : running_) {
    const std::optional<double> own = job->remaining_seconds();
    if (own.has_value() && (!soonest.has_value() || *own < *soonest)) soonest = own;
  }
  if (!soonest.has_value()) return kUnknownRetry;
  return std::clamp(absl::Seconds(*soonest), kMinRetry, kMaxRetry);
}

}  // namespace antidiffusion
