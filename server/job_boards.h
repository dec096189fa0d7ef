// The jobs that somebody in this process watches or runs, and no others.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "server/job.h"

namespace antidiffusion {

// There is one object for a job, which all of them share. A call that follows a job is counted from
// Add or Attach to Leave. Thread-safe; never blocks on anything but its own lock.
class JobBoards {
 public:
  // One that is about to be offered to the database, with its first caller. It is not followed
  // before it is known to be there: by Accepted, or because somebody found it there.
  void Add(std::shared_ptr<Job> job) ABSL_LOCKS_EXCLUDED(mutex_);
  void Accepted(const Job& job) ABSL_LOCKS_EXCLUDED(mutex_);
  // It was not accepted, as far as is known: its caller goes.
  void Remove(const Job& job) ABSL_LOCKS_EXCLUDED(mutex_);

  // Counts a caller. The one that is here, else `job`. `detached`: nobody need wait for the job;
  // `joined`: as the database has counted.
  std::shared_ptr<Job> Attach(std::shared_ptr<Job> job, bool detached, int64_t joined)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // A worker here has claimed it, until Done. The same for whoever runs it.
  std::shared_ptr<Job> Run(std::shared_ptr<Job> job) ABSL_LOCKS_EXCLUDED(mutex_);
  void Done(const Job& job) ABSL_LOCKS_EXCLUDED(mutex_);

  // A caller has left. kAbandoned: before the end, and it was the last one of a job that is not
  // detached. kRead: after the end, as the last one.
  enum class Left { kOthersStay, kAbandoned, kRead };
  struct Leaving {
    Left left = Left::kOthersStay;
    int64_t joined = 0;
  };
  Leaving Leave(const Job& job) ABSL_LOCKS_EXCLUDED(mutex_);

  // Null where it is not here.
  std::shared_ptr<Job> Find(const std::string& name) const ABSL_LOCKS_EXCLUDED(mutex_);

  // Those that callers follow and nobody here runs, which have not ended.
  std::vector<std::shared_ptr<Job>> followed() const ABSL_LOCKS_EXCLUDED(mutex_);
  // That one, if it is such a one.
  std::shared_ptr<Job> FindFollowed(const std::string& name) const ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<std::shared_ptr<Job>> running() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Jobs that have not ended and end without their callers here.
  std::vector<std::shared_ptr<Job>> bound() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Entry {
    std::shared_ptr<Job> job;
    int callers = 0;
    int runs = 0;  // two for a moment, where a lease was lost and the job claimed again here
    bool detached = false;
    bool stored = true;  // known to be in the database
    int64_t joined = 0;

    bool is_followed() const { return stored && callers > 0 && runs == 0; }
  };
  void Drop(const std::string& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  template <typename Wanted>
  std::vector<std::shared_ptr<Job>> Those(const Wanted& wanted) const ABSL_LOCKS_EXCLUDED(mutex_);

  mutable Mutex mutex_;  // a job's own locks may be taken while holding it, never the other way
  std::unordered_map<std::string, Entry> jobs_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace antidiffusion
