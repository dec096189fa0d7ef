#include "server/lease_keeper.h"

#include <algorithm>
#include <vector>

#include "absl/time/clock.h"
#include "server/errors.h"
#include "server/job_record.h"

namespace antidiffusion {
namespace {

constexpr absl::Duration kLook = absl::Milliseconds(250);
constexpr absl::Duration kProgress = absl::Seconds(1);  // is stored at most so often
constexpr int kRenewals = 6;                            // in a lease

}  // namespace

LeaseKeeper::LeaseKeeper(Surroundings surroundings, absl::Duration lease)
    : with_(surroundings), lease_(lease) {
  subscription_ = with_.database.signals().Subscribe([this](const JobSignal& signal) {
    MutexLock lock(mutex_);
    if (signal.phase == JobPhase::kRunning) return;  // as it should be
    for (auto& [attempt, held] : leases_) {
      if (attempt.first == signal.job || signal.job.empty()) held.asked = true;
    }
    changed_.NotifyAll();
  });
  thread_ = std::jthread([this] { Main(); });
}

LeaseKeeper::~LeaseKeeper() {
  with_.database.signals().Unsubscribe(subscription_);
  MutexLock lock(mutex_);
  stopped_ = true;
  changed_.NotifyAll();
}

void LeaseKeeper::Hold(const std::shared_ptr<Job>& job, int64_t attempt) {
  MutexLock lock(mutex_);
  leases_[{job->name(), attempt}].job = job;
  changed_.NotifyAll();
}

bool LeaseKeeper::Drop(const std::string& job, int64_t attempt) {
  MutexLock lock(mutex_);
  const auto found = leases_.find({job, attempt});
  if (found == leases_.end()) return false;
  const bool lost = found->second.lost;
  leases_.erase(found);
  return lost;
}

bool LeaseKeeper::BeginEnd(const std::string& job, int64_t attempt) {
  MutexLock lock(mutex_);
  const auto found = leases_.find({job, attempt});
  if (found == leases_.end()) return true;
  found->second.ending = true;
  return !found->second.lost;
}

bool LeaseKeeper::IsDue(const Held& lease, absl::Time now) const {
  if (lease.lost) return false;
  if (lease.asked || now - lease.renewed >= lease_ / kRenewals) return true;
  return now - lease.renewed >= std::min(kProgress, lease_ / kRenewals) &&
         lease.job->sequence() > lease.sequence;
}

void LeaseKeeper::Main() {
  while (true) {
    std::vector<std::pair<Attempt, std::shared_ptr<Job>>> due;
    {
      MutexLock lock(mutex_);
      if (stopped_) return;
      const absl::Time now = absl::Now();
      for (auto& [attempt, lease] : leases_) {
        if (!IsDue(lease, now)) continue;
        lease.renewed = now;
        lease.asked = false;
        lease.sequence = std::max(lease.sequence, lease.job->sequence());
        due.emplace_back(attempt, lease.job);
      }
      if (due.empty()) {
        changed_.WaitFor(lock, std::min(kLook, lease_ / kRenewals));
        continue;
      }
    }
    for (const auto& [attempt, job] : due) Renew(attempt, job);
  }
}

void LeaseKeeper::Renew(const Attempt& attempt, const std::shared_ptr<Job>& job) {
  const absl::StatusOr<LeaseAnswer> answer =
      with_.database.Renew(attempt.first, attempt.second, lease_, ToStoredProgress(*job),
                           static_cast<int64_t>(job->sequence()));
  if (!answer.ok()) {
    with_.metrics.StoreFailed();
    with_.log.Warning("lease not renewed",
                      {{"job", attempt.first}, {"error", TextOf(answer.status())}});
    MutexLock lock(mutex_);
    const auto found = leases_.find(attempt);  // again soon: others count from the last renewal
    if (found != leases_.end()) found->second.renewed = absl::Now() - lease_ / kRenewals + kLook;
    return;
  }
  MutexLock lock(mutex_);
  const auto found = leases_.find(attempt);
  if (found == leases_.end() || found->second.ending || answer->lease == Lease::kHeld) return;
  if (answer->lease == Lease::kCancelled) {
    job->Cancel(ErrorOf(answer->error));
    return;
  }
  found->second.lost = true;
  with_.metrics.LeaseLost();
  with_.log.Warning("lease lost", {{"job", attempt.first}, {"attempt", attempt.second}});
  job->Cancel(LeaseLostError());
}

}  // namespace antidiffusion
