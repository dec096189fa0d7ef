// Keeps the leases of the jobs that run here, stores their progress, and hears who has cancelled
// them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/time/time.h"
#include "base/mutex.h"
#include "server/database/job_database.h"
#include "server/job.h"
#include "server/log.h"
#include "server/metrics.h"

namespace antidiffusion {

// A thread; Hold and Drop are for any.
class LeaseKeeper {
 public:
  struct Surroundings {  // all of it outlives the keeper
    JobDatabase& database;
    Metrics& metrics;
    const Log& log;
  };

  // A lease lasts for `lease`. It is renewed six times in that; with progress each second at most.
  LeaseKeeper(Surroundings surroundings, absl::Duration lease);
  ~LeaseKeeper();
  LeaseKeeper(const LeaseKeeper&) = delete;
  LeaseKeeper& operator=(const LeaseKeeper&) = delete;

  // From now on; a job that is cancelled or whose lease is lost is told to stop.
  void Hold(const std::shared_ptr<Job>& job, int64_t attempt) ABSL_LOCKS_EXCLUDED(mutex_);
  // No longer. True: the lease was lost, and nothing of the attempt is wanted.
  bool Drop(const std::string& job, int64_t attempt) ABSL_LOCKS_EXCLUDED(mutex_);
  // Its end is about to be stored, which tells whether it still counts: the lease is kept until it
  // is dropped, but that somebody has ended the job is no news. False: it was lost before.
  bool BeginEnd(const std::string& job, int64_t attempt) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Attempt = std::pair<std::string, int64_t>;  // job, attempt
  struct Held {
    std::shared_ptr<Job> job;
    absl::Time renewed = absl::InfinitePast();
    uint64_t sequence = 0;  // of what was stored last
    bool asked = false;     // somebody has changed the job
    bool ending = false;
    bool lost = false;
  };

  void Main() ABSL_LOCKS_EXCLUDED(mutex_);
  bool IsDue(const Held& lease, absl::Time now) const;
  void Renew(const Attempt& attempt, const std::shared_ptr<Job>& job) ABSL_LOCKS_EXCLUDED(mutex_);

  const Surroundings with_;
  const absl::Duration lease_;
  mutable Mutex mutex_;
  CondVar changed_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<Attempt, Held> leases_ ABSL_GUARDED_BY(mutex_);
  int subscription_ = 0;
  std::jthread thread_;
};

}  // namespace antidiffusion
