// Which job a free device takes next: it asks the database, and waits until something changes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/mutex.h"
#include "server/database/job_database.h"
#include "server/log.h"
#include "server/metrics.h"

namespace antidiffusion {

// Thread-safe. Close ends it: what ends with this process anyway is still dispatched, everything
// where the database ends with it, too; what is kept waits for another process.
class Dispatcher {
 public:
  struct Options {
    std::string process;  // its name in the database
    absl::Duration lease = absl::Seconds(30);
    bool durable = false;  // the database outlives the process
  };
  struct Surroundings {  // all of it outlives the dispatcher
    JobDatabase& database;
    Metrics& metrics;
    const Log& log;
  };

  Dispatcher(Options options, Surroundings surroundings);
  ~Dispatcher();
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  // Waits for the next job of one of `models` and claims it; none once finished(), after `timeout`,
  // or once `interrupted` says so, which is asked at first and after each Wake.
  std::optional<ClaimedJob> Next(const std::vector<std::string>& models,
                                 const std::function<bool()>& interrupted, absl::Duration timeout)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Wake() ABSL_LOCKS_EXCLUDED(mutex_);

  void Close() ABSL_LOCKS_EXCLUDED(mutex_);
  bool closed() const ABSL_LOCKS_EXCLUDED(mutex_);
  // After Close: nothing is dispatched any more, also where the database cannot say what waits.
  void GiveUp() ABSL_LOCKS_EXCLUDED(mutex_);

  // Closed, and nothing waits that is still dispatched; waits for it at most `timeout`.
  bool finished() const ABSL_LOCKS_EXCLUDED(mutex_);
  bool WaitFinished(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  std::optional<ClaimedJob> Claim(const std::vector<std::string>& models);
  // Until something may have changed since `seen`, at most to `end`.
  void WaitForChange(uint64_t seen, absl::Time end) ABSL_LOCKS_EXCLUDED(mutex_);
  bool given_up() const ABSL_LOCKS_EXCLUDED(mutex_);
  uint64_t changes() const ABSL_LOCKS_EXCLUDED(mutex_);

  const Options options_;
  const Surroundings with_;
  mutable Mutex mutex_;
  CondVar changed_;
  uint64_t changes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool given_up_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_away_ ABSL_GUARDED_BY(mutex_) = false;  // the database, as of the latest claim
  int subscription_ = 0;
};

}  // namespace antidiffusion
