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

// False when `end` has passed.
bool WaitUntil(CondVar& condition, MutexLock& lock, absl::Time end) {
  if (end == absl::InfiniteFuture()) {
    condition.Wait(lock);
    return true;
  }
  const absl::Duration left = end - absl::Now();
  return left > absl::ZeroDuration() && (condition.WaitFor(lock, left) || absl::Now() < end);
}

absl::Duration WithinBounds(std::optional<double> seconds) {
  if (!seconds.has_value()) return kUnknownRetry;
  return std::clamp(absl::Seconds(*seconds), kMinRetry, kMaxRetry);
}

}  // namespace

absl::Status JobQueue::TryPush(std::shared_ptr<Job> job) {
  MutexLock lock(mutex_);
  if (closed_) return DrainingError();
  if (absl::Status room = CheckRoom(*job); !room.ok()) return room;
  Append(std::move(job));
  return absl::OkStatus();
}

void JobQueue::Restore(std::shared_ptr<Job> job) {
  MutexLock lock(mutex_);
  Append(std::move(job));
}

void JobQueue::Append(std::shared_ptr<Job> job) {
  CountWaiting(*job, 1);
  const TenantShare share = ShareFor(job->request().tenant);
  waiting_.PushBack(FairOrder::EntryOf(std::move(job)), share.weight);
  UpdatePositions();
  may_pop_.NotifyAll();  // one of those who wait may be about to give up
}

absl::Status JobQueue::CheckRoom(const Job& job) const {
  const std::string& tenant = job.request().tenant;
  const TenantShare share = ShareFor(tenant);
  const auto found = tenants_.find(tenant);
  const TenantLoad own = found == tenants_.end() ? TenantLoad() : found->second;
  if (own.waiting >= share.max_waiting) {
    return TenantQueueFullError(share.max_waiting, RetryDelayOf(tenant));
  }
  if (own.waiting > 0 && own.bytes + job.bytes() > share.max_waiting_bytes) {
    return TenantQueueBytesFullError(share.max_waiting_bytes, RetryDelayOf(tenant));
  }
  if (waiting_.size() >= limits_.count) return QueueFullError(limits_.count, RetryDelay());
  if (bytes_ + job.bytes() > limits_.bytes) {
    return QueueBytesFullError(limits_.bytes, RetryDelay());
  }
  return absl::OkStatus();
}

void JobQueue::Requeue(std::shared_ptr<Job> job) {
  std::vector<std::shared_ptr<Job>> moved;
  {
    MutexLock lock(mutex_);
    if (std::erase(running_, job) > 0) CountRunning(*job, -1);
    charged_.erase(job.get());
    CountWaiting(*job, 1);
    const TenantShare share = ShareFor(job->request().tenant);
    waiting_.PushFront(FairOrder::EntryOf(std::move(job)), share.weight);
    moved = UpdatePositions();
    may_pop_.NotifyAll();
  }
  NotifyAll(moved);
}

std::shared_ptr<Job> JobQueue::Pop() {
  return PopUnless([] { return false; }, absl::InfiniteDuration());
}

std::shared_ptr<Job> JobQueue::PopUnless(const std::function<bool()>& interrupted,
                                         absl::Duration timeout) {
  std::shared_ptr<Job> job;
  std::vector<std::shared_ptr<Job>> moved;
  {
    MutexLock lock(mutex_);
    const absl::Time end = absl::Now() + timeout;
    while (!interrupted() && !waiting_.CanPop(MayRunNow()) && !Finished()) {
      if (!WaitUntil(may_pop_, lock, end)) return nullptr;
    }
    if (interrupted() || waiting_.empty()) return nullptr;
    const FairOrder::Entry entry = waiting_.PopNext(MayRunNow());
    job = entry.job;
    charged_[job.get()] = {now_(), entry.cost};
    CountWaiting(*job, -1);
    CountRunning(*job, 1);
    running_.push_back(job);
    moved = UpdatePositions();
    NotifyIfFinished();
  }
  NotifyAll(moved);
  return job;
}

void JobQueue::Wake() {
  MutexLock lock(mutex_);
  may_pop_.NotifyAll();
}

bool JobQueue::finished() const {
  MutexLock lock(mutex_);
  return Finished();
}

bool JobQueue::WaitFinished(absl::Duration timeout) {
  MutexLock lock(mutex_);
  const absl::Time end = absl::Now() + timeout;
  while (!Finished()) {
    if (!WaitUntil(finished_, lock, end)) return Finished();
  }
  return true;
}

void JobQueue::NotifyIfFinished() {
  if (!Finished()) return;
  may_pop_.NotifyAll();
  finished_.NotifyAll();
}

void JobQueue::Done(const Job& job) {
  std::vector<std::shared_ptr<Job>> moved;
  {
    MutexLock lock(mutex_);
    const auto is_it = [&](const auto& other) { return other.get() == &job; };
    if (std::erase_if(running_, is_it) > 0) CountRunning(job, -1);
    ChargeTheRest(job);
    moved = UpdatePositions();
    may_pop_.NotifyAll();  // its tenant may run one more
  }
  NotifyAll(moved);
}

void JobQueue::ChargeTheRest(const Job& job) {
  const auto found = charged_.find(&job);
  if (found == charged_.end()) return;
  const double rest = absl::ToDoubleSeconds(now_() - found->second.at) - found->second.cost;
  charged_.erase(found);
  if (rest <= 0) return;
  const std::string& tenant = job.request().tenant;
  waiting_.Charge(tenant, FairOrder::ClassOf(job), rest, ShareFor(tenant).weight);
}

bool JobQueue::MayRun(const std::string& tenant) const {
  const auto found = tenants_.find(tenant);
  return found == tenants_.end() || found->second.running < ShareFor(tenant).max_running;
}

FairOrder::MayRun JobQueue::MayRunNow() const {
  // Called with the lock only, as long as its caller holds it.
  return [this](const std::string& tenant)
             ABSL_NO_THREAD_SAFETY_ANALYSIS { return MayRun(tenant); };
}

void JobQueue::CountWaiting(const Job& job, int change) {
  const std::string& tenant = job.request().tenant;
  TenantLoad& load = tenants_[tenant];
  load.waiting += static_cast<size_t>(change);
  load.bytes += change * job.bytes();
  bytes_ += change * job.bytes();
  if (change < 0) Forget(tenant);
}

void JobQueue::CountRunning(const Job& job, int change) {
  const std::string& tenant = job.request().tenant;
  tenants_[tenant].running += static_cast<size_t>(change);
  if (change < 0) Forget(tenant);
}

void JobQueue::Forget(const std::string& tenant) {
  const auto found = tenants_.find(tenant);
  if (found->second.waiting == 0 && found->second.running == 0) tenants_.erase(found);
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
    taken = waiting_.TakeIf(wanted);
    if (taken.empty()) return taken;
    for (const std::shared_ptr<Job>& job : taken) CountWaiting(*job, -1);
    moved = UpdatePositions();
    NotifyIfFinished();
  }
  NotifyAll(moved);
  return taken;
}

void JobQueue::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
  NotifyIfFinished();
}

bool JobQueue::closed() const {
  MutexLock lock(mutex_);
  return closed_;
}

std::optional<double> JobQueue::WaitSeconds(const std::string& tenant, JobPriority priority,
                                            std::optional<double> expected) const {
  MutexLock lock(mutex_);
  FairOrder order = waiting_;
  order.PushBack({nullptr, tenant, priority, expected.value_or(FairOrder::kUnknownCost)},
                 ShareFor(tenant).weight);
  Outlook before = RunningWork();
  while (const std::shared_ptr<Job> job = order.PopNext().job) before.Add(*job);
  return WaitAfter(before, tenant);
}

JobQueue::Load JobQueue::load() const {
  MutexLock lock(mutex_);
  return {waiting_.size(),
          bytes_,
          running_.size(),
          {waiting_.size(JobPriority::kInteractive), waiting_.size(JobPriority::kBatch)}};
}

std::vector<std::shared_ptr<Job>> JobQueue::running() const {
  MutexLock lock(mutex_);
  return running_;
}

std::vector<std::shared_ptr<Job>> JobQueue::UpdatePositions() {
  std::vector<std::shared_ptr<Job>> jobs;
  jobs.reserve(waiting_.size());
  Outlook before = RunningWork();
  for (FairOrder order = waiting_; !order.empty();) {
    const std::shared_ptr<Job> job = order.PopNext().job;
    const std::optional<double> wait = WaitAfter(before, job->request().tenant);
    const std::optional<double> own = job->remaining_seconds();
    const double eta = wait.has_value() && own.has_value() ? *wait + *own : 0;
    job->SetQueued({static_cast<int>(before.all.jobs), eta});
    before.Add(*job);
    jobs.push_back(job);
  }
  return jobs;
}

JobQueue::Outlook JobQueue::RunningWork() const {
  Outlook work;
  for (const std::shared_ptr<Job>& job : running_) work.Add(*job);
  return work;
}

void JobQueue::Outlook::Add(const Job& job) {
  all.Add(job);
  of_tenant[job.request().tenant].Add(job);
}

// The order leaves out who has to pause at max_running; here it counts: a tenant's own work goes
// through so many workers at most.
std::optional<double> JobQueue::WaitAfter(Outlook& before, const std::string& tenant) const {
  const std::optional<double> all = before.all.Seconds(static_cast<size_t>(limits_.workers));
  const size_t max_running = ShareFor(tenant).max_running;
  if (max_running >= static_cast<size_t>(limits_.workers)) return all;
  const std::optional<double> own = before.of_tenant[tenant].Seconds(max_running);
  if (!all.has_value() || !own.has_value()) return std::nullopt;
  return std::max(*all, *own);
}

void JobQueue::WorkBefore::Add(const Job& job) {
  const std::optional<double> own = job.remaining_seconds();
  ++jobs;
  known = known && own.has_value();
  seconds += own.value_or(0);
}

std::optional<double> JobQueue::WorkBefore::Seconds(size_t workers) const {
  if (jobs < workers) return 0;
  if (!known) return std::nullopt;
  return seconds / static_cast<double>(workers);
}

// When the next job should leave the queue.
absl::Duration JobQueue::RetryDelay() const {
  std::optional<double> soonest;
  for (const std::shared_ptr<Job>& job : running_) {
    const std::optional<double> own = job->remaining_seconds();
    if (own.has_value() && (!soonest.has_value() || *own < *soonest)) soonest = own;
  }
  return WithinBounds(soonest);
}

// When the next job of this tenant should.
absl::Duration JobQueue::RetryDelayOf(const std::string& tenant) const {
  Outlook before = RunningWork();
  for (FairOrder order = waiting_; !order.empty();) {
    const std::shared_ptr<Job> job = order.PopNext().job;
    if (job->request().tenant == tenant) break;
    before.Add(*job);
  }
  return WithinBounds(WaitAfter(before, tenant));
}

}  // namespace antidiffusion
