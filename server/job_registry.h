// The jobs of this server by name, by request id and by what they give. In memory; the job store
// is its journal.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "server/job.h"

namespace antidiffusion {

// Holds every job from admission on: a kept one until it expires, any other until its last caller
// has left. A call that follows a job is counted from Join, AddOrJoin or Attach to Leave. All that
// is asked for is asked for by a tenant, and what is another's is not there. Thread-safe; never
// blocks on anything but its own lock. Jobs are shared with those who use them at that moment.
class JobRegistry {
 public:
  struct Limits {
    absl::Duration result_ttl = absl::Hours(24);  // of a kept job from its end on
    size_t max_ended = 10'000;                    // kept jobs that have ended
    int64_t max_result_bytes = int64_t{1} << 30;  // of the results of those
    static constexpr absl::Duration kRequestIdLife = absl::Hours(24);
  };
  struct Totals {
    size_t jobs = 0;           // kept ones
    int64_t result_bytes = 0;  // of those that have ended
  };
  struct Page {
    std::vector<std::shared_ptr<Job>> jobs;
    std::string next_token;  // "": the last page
  };

  explicit JobRegistry(const Limits& limits) : limits_(limits) {}

  // The job of an equal request of the last 24 hours, null when there is none. `detached`: the job
  // no longer depends on its callers. ALREADY_EXISTS: the request was another one.
  absl::StatusOr<std::shared_ptr<Job>> Join(const JobRequest& request, absl::Time now)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // The same, or else adds `job` and returns it.
  absl::StatusOr<std::shared_ptr<Job>> AddOrJoin(std::shared_ptr<Job> job, absl::Time now)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // One from the job store.
  void Restore(const std::shared_ptr<Job>& job, absl::Time expires) ABSL_LOCKS_EXCLUDED(mutex_);

  // NOT_FOUND. Attach counts a caller.
  absl::StatusOr<std::shared_ptr<Job>> Find(const std::string& tenant,
                                            const std::string& name) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<std::shared_ptr<Job>> Attach(const std::string& tenant, const std::string& name)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // A caller has left. With `abandon` (it was one of Protect, before the end): true when the job is
  // to be cancelled, since nobody waits for it any more; its request id is then free.
  bool Leave(const Job& job, bool abandon) ABSL_LOCKS_EXCLUDED(mutex_);

  // The result of an equal job, null when there is none.
  std::shared_ptr<const JobResult> FindResult(const std::string& cache_key) const
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Newest first; `token` is "" or a page's next_token. INVALID_ARGUMENT: page_token.
  absl::StatusOr<Page> List(const std::string& tenant, std::optional<JobState> state, size_t size,
                            const std::string& token) const ABSL_LOCKS_EXCLUDED(mutex_);

  // The job has ended. Returns when it expires.
  absl::Time Ended(const Job& job, const absl::Status& status, int64_t result_bytes, absl::Time now)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Time ExpiryOf(const Job& job) const ABSL_LOCKS_EXCLUDED(mutex_);

  void Erase(const Job& job) ABSL_LOCKS_EXCLUDED(mutex_);

  // Takes out the kept jobs that have expired, and the first that ended beyond the limits.
  std::vector<std::shared_ptr<Job>> TakeExpired(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);

  Totals totals() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Entry {
    std::shared_ptr<Job> job;
    bool detached = false;
    bool ended = false;
    int callers = 0;
    int64_t result_bytes = 0;
    absl::Time expires = absl::InfiniteFuture();
  };
  using Place = std::pair<absl::Time, std::string>;        // creation, name
  using RequestKey = std::pair<std::string, std::string>;  // tenant, request id

  Entry* Lookup(const std::string& tenant, const std::string& name)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Entry*> LookupRequest(const JobRequest& request, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FreeRequestId(const Job& job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FileEnded(Entry& entry, const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EraseName(const std::string& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Limits limits_;
  mutable Mutex mutex_;  // a job's own locks may be taken while holding it, never the other way
  std::unordered_map<std::string, Entry> jobs_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::map<Place, std::shared_ptr<Job>>> by_tenant_ ABSL_GUARDED_BY(mutex_);
  std::map<RequestKey, std::string> by_request_ ABSL_GUARDED_BY(mutex_);            // name
  std::unordered_map<std::string, std::string> by_result_ ABSL_GUARDED_BY(mutex_);  // cache key
  std::map<Place, std::string> by_end_ ABSL_GUARDED_BY(mutex_);  // kept and ended, by expiry
  Totals totals_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace antidiffusion
