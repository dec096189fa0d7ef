// What nobody asks for but time: lost leases, passed deadlines, results past their time; and what
// this process has to say of itself while it lives.
#pragma once

#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "base/mutex.h"
#include "server/database/job_database.h"
#include "server/job_accounts.h"
#include "server/job_boards.h"
#include "server/log.h"
#include "server/metrics.h"

namespace antidiffusion {

// A thread that waits for the database, each second. Run is for any thread.
class Housekeeping {
 public:
  struct Surroundings {  // all of it outlives the housekeeping
    JobDatabase& database;
    const JobBoards& boards;
    JobAccounts& accounts;
    Metrics& metrics;
    const Log& log;
    std::function<WorkerNote()> note;    // of this process; its capacity 0: it computes nothing
    std::function<void()> show_figures;  // after each round
    // In each round, with all that are there; null: this process is alone.
    std::function<void(const std::vector<WorkerNote>& workers)> on_workers;
  };

  // `process`: its name in the database.
  Housekeeping(std::string process, Surroundings surroundings)
      : process_(std::move(process)), with_(std::move(surroundings)) {}
  ~Housekeeping() { Stop(); }
  Housekeeping(const Housekeeping&) = delete;
  Housekeeping& operator=(const Housekeeping&) = delete;

  void Start();
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

  // A round, with all that is done more seldom than each second.
  void Run() ABSL_LOCKS_EXCLUDED(round_mutex_);
  // The same, soon: what is to be said of this process has changed.
  void TellSoon() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Main() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Round(bool with_seldom) ABSL_EXCLUSIVE_LOCKS_REQUIRED(round_mutex_);
  absl::Status TellOfSelf() ABSL_EXCLUSIVE_LOCKS_REQUIRED(round_mutex_);
  void Report(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(round_mutex_);

  const std::string process_;
  const Surroundings with_;
  Mutex round_mutex_;                                   // one round at a time
  bool is_away_ ABSL_GUARDED_BY(round_mutex_) = false;  // the database
  bool announced_ ABSL_GUARDED_BY(round_mutex_) = false;
  Mutex mutex_;
  CondVar changed_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  bool tell_ ABSL_GUARDED_BY(mutex_) = false;
  std::jthread thread_;
};

}  // namespace antidiffusion
