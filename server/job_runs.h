// The jobs that the devices of this process run: from a claim to an end that the database has.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "server/database/job_database.h"
#include "server/eta_estimator.h"
#include "server/job.h"
#include "server/job_accounts.h"
#include "server/job_boards.h"
#include "server/lease_keeper.h"
#include "server/log.h"
#include "server/metrics.h"

namespace antidiffusion {

struct RunningJob {
  std::shared_ptr<Job> job;  // shared with those who watch it
  ClaimedJob claim;
};

// For the threads of devices; thread-safe. Waits for the database, and while it is away for its
// return.
class JobRuns {
 public:
  // How often a job is begun at most, where its worker or its server is lost.

  struct Surroundings {  // all of it outlives the runs
    JobDatabase& database;
    JobBoards& boards;
    LeaseKeeper& leases;
    JobAccounts& accounts;
    const EtaEstimator& eta;
    Metrics& metrics;
    const Log& log;
    Job::Clock now;
    // What a request would have as its cache key now: models change.
    std::function<std::string(const JobRequest& request)> cache_key;
  };

  // `durable`: the database outlives the process.
  JobRuns(bool durable, Surroundings surroundings)
      : durable_(durable), with_(std::move(surroundings)) {}

  // The claimed job, with its image; none where it was not readable, and is dealt with.
  std::optional<RunningJob> Begin(ClaimedJob claimed);

  // How it ended, after `seconds` on its device. A result of a lost lease is thrown away; a kept
  // job that was stopped by the end of this server waits for another.
  void End(const RunningJob& running, absl::StatusOr<JobResult> result, double seconds);

  // Its worker was lost: it waits again. False: for the second time, and the caller ends it.
  bool TryAgain(const RunningJob& running);

  // No waiting for a database that is away any more: what it does not know then, others find.
  void GiveUp() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void GiveBack(const ClaimedJob& claim, bool lost);
  // Until the database has answered. UNAVAILABLE: given up.
  absl::StatusOr<bool> Insist(const std::string& what, const std::string& job,
                              const std::function<absl::StatusOr<bool>()>& verb)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Release(const RunningJob& running, const absl::Status& why);
  bool IsHandedBack(const RunningJob& running, const absl::Status& status) const;

  const bool durable_;
  const Surroundings with_;
  Mutex mutex_;
  CondVar given_up_changed_;
  bool given_up_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace antidiffusion
