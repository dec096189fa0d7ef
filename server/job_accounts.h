// What is counted, logged and traced of jobs: once for each end, by the process that brought it
// about.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/database/job_database.h"
#include "server/job.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/tracing/tracer.h"

namespace antidiffusion {

// Thread-safe.
class JobAccounts {
 public:
  struct Surroundings {  // all of it outlives the accounts
    Metrics& metrics;
    const Log& log;
    const Tracer& tracer;
    Job::Clock now;
  };

  explicit JobAccounts(Surroundings surroundings) : with_(std::move(surroundings)) {}

  void Accepted(const Job& job, const AcceptAnswer& answer);
  void Ended(const Job& job, const absl::Status& status);
  void Ended(const std::vector<EndedJob>& jobs);
  // Left to the next server of this database, or found there.
  void HandedBack(const std::vector<OpenJobs>& jobs) { Count(jobs, JobOutcome::kHandedBack); }
  void Restored(const std::vector<OpenJobs>& jobs) { Count(jobs, JobOutcome::kRestored); }

  // An operation of the database failed. As the caller is to hear of it: UNAVAILABLE, what does not
  // pass as it is.
  absl::Status Failed(const std::string& what, const std::string& job, const absl::Status& why);

 private:
  void Count(const std::vector<OpenJobs>& jobs, JobOutcome outcome);
  void LogEnd(const Job& job, const absl::Status& status) const;

  const Surroundings with_;
};

}  // namespace antidiffusion
