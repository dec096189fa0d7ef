// From a request that was found sound to a job of the database.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/database/job_database.h"
#include "server/job.h"
#include "server/job_access.h"
#include "server/job_accounts.h"
#include "server/job_boards.h"
#include "server/job_follower.h"
#include "server/metrics.h"
#include "server/queue_outlook.h"
#include "server/tenants/tenant.h"

namespace antidiffusion {

// Thread-safe; waits for the database.
class JobAcceptance {
 public:
  struct Options {
    std::string process;  // its name in the database
    QueueRoom room;
    absl::Duration result_ttl = absl::Hours(24);  // of a kept job from its end on
    int64_t max_kept_jobs = 10'000;               // of a tenant, that have ended
    int64_t max_result_bytes = int64_t{1} << 30;  // of those
  };
  struct Surroundings {  // all of it outlives the acceptance
    JobDatabase& database;
    JobBoards& boards;
    JobFollower& follower;
    JobAccess& access;
    JobAccounts& accounts;
    const QueueOutlook& outlook;
    Metrics& metrics;
    Job::Clock now;
  };
  // While nobody needs to wait for it, a job without a request id and its result are kept so long.
  static constexpr absl::Duration kUnwanted = absl::Minutes(1);

  JobAcceptance(Options options, Surroundings surroundings)
      : options_(std::move(options)), with_(std::move(surroundings)) {}

  // The job, with one caller: `job`, which waits or was answered with what an equal one gave, or
  // that of an equal request id. `may_wait`: why it is not to wait, where it must. `on_taken` is
  // called in between where it is `job`; `waits`: it was not answered. Refusals as protection.proto
  // has them; UNAVAILABLE: the database failed.
  absl::StatusOr<std::shared_ptr<Job>> Accept(const std::shared_ptr<Job>& job, const Tenant& tenant,
                                              const absl::Status& may_wait,
                                              const std::function<void(bool waits)>& on_taken);

  // One that waits, where nobody may come for it any more: cancelled, unless it runs already.
  void TakeBack(const Job& job);

 private:
  NewJob PlacedJob(const Job& job, const absl::Status& may_wait) const;
  TenantLimits LimitsOf(const Tenant& tenant) const;
  absl::StatusOr<AcceptAnswer> Put(const NewJob& made, const TenantLimits& limits,
                                   const std::string& image);
  absl::Status RefusalOf(const AcceptAnswer& answer, const Job& job,
                         const absl::Status& may_wait) const;

  const Options options_;
  const Surroundings with_;
};

}  // namespace antidiffusion
