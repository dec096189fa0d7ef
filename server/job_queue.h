// The bounded queue from the gRPC threads to the device workers.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "server/fair_order.h"
#include "server/job.h"
#include "server/tenants/tenant.h"

namespace antidiffusion {

// In the order of FairOrder; a tenant that has max_running jobs running is passed over.
// Thread-safe. Every job that was taken in ends in exactly one of two ways: a worker pops it and
// ends it or puts it back, or it leaves by Remove, TakeExpired or TakeAll and the taker ends it.
class JobQueue {
 public:
  // The share of a tenant as it is now; called with the queue's lock held, from any thread.
  using ShareOf = std::function<TenantShare(const std::string& tenant)>;

  struct Limits {
    size_t count = 64;                   // waiting jobs
    int64_t bytes = int64_t{512} << 20;  // of their encoded images together
    int workers = 1;                     // that share the work; only for the ETA
  };
  struct Load {
    size_t waiting = 0;
    int64_t bytes = 0;
    size_t running = 0;
    std::array<size_t, 2> waiting_of = {};  // [JobPriority]
  };

  // Without `share_of` every tenant has the share TenantShare{}. `now` measures how long jobs run.
  explicit JobQueue(const Limits& limits, ShareOf share_of = nullptr, Job::Clock now = absl::Now)
      : limits_(limits), share_of_(std::move(share_of)), now_(std::move(now)) {}

  // Never blocks. The job knows its position and ETA afterwards. RESOURCE_EXHAUSTED when its
  // tenant's share or the queue is full by count or bytes (with the time until a place should be
  // free), UNAVAILABLE once closed: the job is then left as it was and the caller answers.
  absl::Status TryPush(std::shared_ptr<Job> job) ABSL_LOCKS_EXCLUDED(mutex_);

  // Takes in one that was taken in before, by an earlier life of the server: last, whatever the
  // limits.
  void Restore(std::shared_ptr<Job> job) ABSL_LOCKS_EXCLUDED(mutex_);

  // Puts a running job back, first of its tenant's, whatever the limits and though closed: its
  // worker was lost. Instead of Done.
  void Requeue(std::shared_ptr<Job> job) ABSL_LOCKS_EXCLUDED(mutex_);

  // Waits for the next job, which counts as running until Done; nullptr once finished().
  std::shared_ptr<Job> Pop() ABSL_LOCKS_EXCLUDED(mutex_);

  // The same, but gives up, with nullptr, after `timeout` or once `interrupted` says so. That is
  // asked with the queue's lock held, at first and after each Wake.
  std::shared_ptr<Job> PopUnless(const std::function<bool()>& interrupted, absl::Duration timeout)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Wake() ABSL_LOCKS_EXCLUDED(mutex_);

  // Closed and empty; waits for it at most `timeout`.
  bool finished() const ABSL_LOCKS_EXCLUDED(mutex_);
  bool WaitFinished(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_);

  // A worker is about to end `job`, or has.
  void Done(const Job& job) ABSL_LOCKS_EXCLUDED(mutex_);

  // Takes a waiting job out; false when it is not waiting (any more).
  bool Remove(const Job& job) ABSL_LOCKS_EXCLUDED(mutex_);

  // Takes out every waiting job whose deadline has passed; every waiting job.
  std::vector<std::shared_ptr<Job>> TakeExpired(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<std::shared_ptr<Job>> TakeAll() ABSL_LOCKS_EXCLUDED(mutex_);

  // No more pushes; what waits is still popped.
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);
  bool closed() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Seconds until such a job pushed now would start: nullopt while unknown, 0 when nothing is
  // before it. `expected` is how long it will take itself, as far as is known.
  std::optional<double> WaitSeconds(const std::string& tenant = "",
                                    JobPriority priority = JobPriority::kInteractive,
                                    std::optional<double> expected = std::nullopt) const
      ABSL_LOCKS_EXCLUDED(mutex_);

  Load load() const ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<std::shared_ptr<Job>> running() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // The jobs before a place in the order and the work they are.
  struct WorkBefore {
    size_t jobs = 0;
    double seconds = 0;
    bool known = true;  // false: of at least one job nobody knows how long it takes

    void Add(const Job& job);
    // Until they are done, shared evenly; 0 while a worker is free.
    std::optional<double> Seconds(size_t workers) const;
  };
  // The work before the places of an order, one by one: of all, and of the same tenant.
  struct Outlook {
    WorkBefore all;
    std::map<std::string, WorkBefore> of_tenant;

    void Add(const Job& job);
  };
  // What a running job's tenant has paid for it.
  struct Charged {
    absl::Time at;
    double cost = 0;  // seconds
  };
  struct TenantLoad {
    size_t waiting = 0;
    int64_t bytes = 0;  // of those waiting
    size_t running = 0;
  };

  bool Finished() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return closed_ && waiting_.empty();
  }
  void NotifyIfFinished() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  TenantShare ShareFor(const std::string& tenant) const {
    return share_of_ ? share_of_(tenant) : TenantShare();
  }
  void Append(std::shared_ptr<Job> job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckRoom(const Job& job) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MayRun(const std::string& tenant) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  FairOrder::MayRun MayRunNow() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CountWaiting(const Job& job, int change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CountRunning(const Job& job, int change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What `job` took beyond its cost.
  void ChargeTheRest(const Job& job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Forget(const std::string& tenant) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  std::vector<std::shared_ptr<Job>> TakeIf(const std::function<bool(const Job&)>& wanted)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Tells each waiting job its place; returns those jobs, to be notified without the lock.
  std::vector<std::shared_ptr<Job>> UpdatePositions() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Outlook RunningWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Until a job of `tenant` would start that comes after what `before` holds.
  std::optional<double> WaitAfter(Outlook& before, const std::string& tenant) const;
  absl::Duration RetryDelay() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Duration RetryDelayOf(const std::string& tenant) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Limits limits_;
  const ShareOf share_of_;
  const Job::Clock now_;
  mutable Mutex mutex_;  // a job's own locks may be taken while holding it, never the other way
  CondVar may_pop_;
  CondVar finished_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  FairOrder waiting_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Job>> running_ ABSL_GUARDED_BY(mutex_);
  std::map<const Job*, Charged> charged_ ABSL_GUARDED_BY(mutex_);      // of those
  std::map<std::string, TenantLoad> tenants_ ABSL_GUARDED_BY(mutex_);  // those with any
};

}  // namespace antidiffusion
