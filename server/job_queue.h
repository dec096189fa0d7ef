// The bounded queue from the gRPC threads to the device workers.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/base/mutex.h"
#include "server/job.h"

namespace antidiffusion {

// First in, first out. Thread-safe. Every job that was taken in ends in exactly one of two ways:
// a worker pops it and ends it, or it leaves by Remove, TakeExpired or TakeAll and the taker ends
// it.
class JobQueue {
 public:
  struct Limits {
    size_t count = 64;                   // waiting jobs
    int64_t bytes = int64_t{512} << 20;  // of their encoded images together
    int workers = 1;                     // that share the work; only for the ETA
  };
  struct Load {
    size_t waiting = 0;
    int64_t bytes = 0;
    size_t running = 0;
  };

  explicit JobQueue(const Limits& limits) : limits_(limits) {}

  // Never blocks. The job knows its position and ETA afterwards. RESOURCE_EXHAUSTED when full by
  // count or bytes (with the time until a place should be free), UNAVAILABLE once closed: the job
  // is then left as it was and the caller answers.
  absl::Status TryPush(std::shared_ptr<Job> job) ABSL_LOCKS_EXCLUDED(mutex_);

  // Waits for the next job, which counts as running until Done; nullptr once closed and empty.
  std::shared_ptr<Job> Pop() ABSL_LOCKS_EXCLUDED(mutex_);

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

  // Seconds until a job pushed now would start: nullopt while unknown, 0 when nothing is before it.
  std::optional<double> WaitSeconds() const ABSL_LOCKS_EXCLUDED(mutex_);

  Load load() const ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<std::shared_ptr<Job>> running() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // The jobs before a place in the queue and the work they are.
  struct WorkBefore {
    size_t jobs = 0;
    double seconds = 0;
    bool known = true;  // false: of at least one job nobody knows how long it takes

    void Add(const Job& job);
    // Until they are done, shared evenly; 0 while a worker is free.
    std::optional<double> Seconds(int workers) const;
  };

  std::vector<std::shared_ptr<Job>> TakeIf(const std::function<bool(const Job&)>& wanted)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Tells each waiting job its place; returns those jobs, to be notified without the lock.
  std::vector<std::shared_ptr<Job>> UpdatePositions() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  WorkBefore RunningWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Duration RetryDelay() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Limits limits_;
  mutable Mutex mutex_;  // a job's own locks may be taken while holding it, never the other way
  CondVar not_empty_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<std::shared_ptr<Job>> waiting_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Job>> running_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace antidiffusion
