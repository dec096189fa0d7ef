// Everything between the calls and the database, made and connected: the jobs of this process.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/database/job_database.h"
#include "server/database/open_pool.h"
#include "server/database/postgres_listener.h"
#include "server/database_threads.h"
#include "server/dispatcher.h"
#include "server/eta_estimator.h"
#include "server/housekeeping.h"
#include "server/job_acceptance.h"
#include "server/job_access.h"
#include "server/job_accounts.h"
#include "server/job_boards.h"
#include "server/job_follower.h"
#include "server/job_runs.h"
#include "server/lease_keeper.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/model_catalogue.h"
#include "server/queue_outlook.h"
#include "server/tracing/tracer.h"

namespace antidiffusion {

// In the order of construction: what stands later uses what stands before. Thread-safe.
class JobService {
 public:
  struct Options {
    JobStoreName store;
    JobAcceptance::Options acceptance;  // its `process` is chosen here
    absl::Duration lease = absl::Seconds(30);
    int workers = 1;            // devices; 0: other servers compute
    int64_t pending_bytes = 0;  // of images whose calls wait for the database
    bool result_cache = true;
  };
  struct Surroundings {  // all of it outlives the service
    ModelCatalogue& catalogue;
    Metrics& metrics;
    const Log& log;
    const Tracer& tracer;
    Job::Clock now;
    std::function<void()> on_models_changed;  // elsewhere
  };

  // Opens the database. UNAVAILABLE: it cannot be.
  static absl::StatusOr<std::unique_ptr<JobService>> Create(const Options& options,
                                                            Surroundings surroundings,
                                                            const PoolFactory& open_pool);
  ~JobService();
  JobService(const JobService&) = delete;
  JobService& operator=(const JobService&) = delete;

  bool durable() const { return options_.store.durable(); }

  // No new jobs. Kept ones of a durable store that do not run here are left to others, which those
  // who watch them are told.
  void StartDrain();
  // What still waits or runs is stopped: what is kept in a durable store is left to others.
  void CancelJobs();
  bool IsIdle() const { return dispatcher.finished() && boards.running().empty(); }
  // Everything that calls left to do is done; waits at most `timeout` for it.
  bool WaitSettled(absl::Duration timeout);
  // Counts what a store of this process alone leaves to its next one; once.
  void CountLeft();
  int64_t jobs_left() const { return jobs_left_; }

  // Of the queue and of what is kept, to the metrics.
  void ShowFigures();

 private:
  JobService(Options options, Surroundings surroundings, std::unique_ptr<JobDatabase> opened);
  absl::Status TakeUp();
  void CancelWaiting();
  void CancelElsewhere(Job& job);
  WorkerNote Note() const;
  void Follow(const std::vector<WorkerNote>& workers);

  const Options options_;
  const Surroundings with_;
  const std::string process_;
  const std::unique_ptr<JobDatabase> database_;

 public:
  EtaEstimator eta;
  JobBoards boards;
  JobAccounts accounts;
  const QueueOutlook outlook;
  DatabaseThreads threads;
  JobFollower follower;
  JobAccess access;
  JobAcceptance acceptance;
  LeaseKeeper leases;
  Dispatcher dispatcher;
  JobRuns runs;
  Housekeeping housekeeping;

 private:
  std::unique_ptr<PostgresListener> listener_;  // of a shared database
  std::atomic<int64_t> jobs_left_ = 0;
  std::atomic<bool> counted_left_ = false;
};

}  // namespace antidiffusion
