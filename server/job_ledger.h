// The life of every job from admission to its being forgotten: who may hear of it, what it counts
// as, what is written down of it.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "server/job.h"
#include "server/job_queue.h"
#include "server/job_registry.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/store/job_store.h"
#include "server/store/store_thread.h"
#include "server/tracing/tracer.h"

namespace antidiffusion {

// The registry in memory answers every question; the job store, where there is one, is its journal:
// written on a thread of its own, read when the server starts and for results. Thread-safe; nothing
// here waits for a disk, but for OpenStore.
class JobLedger {
 public:
  struct Surroundings {  // all of it outlives the ledger
    JobQueue& queue;
    Metrics& metrics;
    const Log& log;
    const Tracer& tracer;
    Job::Clock now;
  };
  using Done = std::function<void(const absl::Status& status)>;
  using ImageRead = std::function<void(absl::StatusOr<std::string> image)>;

  JobLedger(const JobRegistry::Limits& limits, Surroundings surroundings)
      : with_(std::move(surroundings)), registry_(limits) {}
  // Every job has ended.
  ~JobLedger() { CloseStore(); }
  JobLedger(const JobLedger&) = delete;
  JobLedger& operator=(const JobLedger&) = delete;

  // Takes up what `store` holds: jobs that waited or ran go into the queue, in their old order; one
  // that ran when the server ended for the second time fails. Before anything else, at most once;
  // reads the disk.
  absl::Status OpenStore(std::unique_ptr<JobStore> store);
  // Writes what is left to write. No kept job may be admitted any more.
  void CloseStore();
  bool durable() const { return store_ != nullptr; }

  JobRegistry& registry() { return registry_; }

  std::shared_ptr<Job> MakeJob(JobRequest request, absl::Time deadline,
                               std::optional<double> expected_seconds);

  // Makes `job` known, and `push`es it; or returns the one of an equal request that is known
  // already. No worker begins it before `on_taken` has returned and it is stored, which stored()
  // tells. Errors: REQUEST_ID_REUSED, those of `push`.
  absl::StatusOr<std::shared_ptr<Job>> TakeIn(const std::shared_ptr<Job>& job,
                                              const std::function<absl::Status()>& push,
                                              const std::function<void()>& on_taken);

  // A caller of Protect left before the end, for the reason of `why`, or any other caller did.
  void Leave(Job& job, const std::optional<absl::Status>& why);

  // Ends a waiting job, stops a running one before its next step.
  void Cancel(Job& job, const absl::Status& why);

  // The same for every job of a server on its way out; those in a durable store are left to the
  // next start, which jobs_left() counts once they have ended here.
  void CancelAll();
  int64_t jobs_left() const { return jobs_left_; }

  // Forgets a job that has ended; `done` is called once, on any thread. FAILED_PRECONDITION: it has
  // not; UNAVAILABLE: the store failed.
  void Delete(const std::shared_ptr<Job>& job, const Done& done);

  // A piece of the stored image of a result; `then` is called once, on any thread. NOT_FOUND:
  // forgotten by now; UNAVAILABLE: the store failed, or is closed; DATA_LOSS.
  void ReadImage(const std::string& job, const StoredPiece& piece, const ImageRead& then);

  // About every second: ends waiting jobs whose deadline has passed, forgets what has expired,
  // tries once more to write what could not be written.
  void Tick(absl::Time now) ABSL_LOCKS_EXCLUDED(unsaved_mutex_);

 private:
  enum class Record { kAccepted, kState, kHandedBack };

  bool IsStored(const Job& job) const { return durable() && job.request().kept(); }
  void OnStarted(Job& job);
  void OnFinished(Job& job, const absl::Status& status);
  void LogEnd(const Job& job, const absl::Status& status) const;
  void PostSave(const std::shared_ptr<Job>& job, Record record);
  // `image`: the job's, null when it has been let go; borrowed.
  void Save(JobStore& store, const std::shared_ptr<Job>& job, Record record,
            const std::string* image) ABSL_LOCKS_EXCLUDED(unsaved_mutex_);
  absl::Status SaveNow(JobStore& store, Job& job, Record record, const std::string* image);
  void RefuseUnstored(Job& job, const absl::Status& why);
  void Restore(const StoredJob& row, absl::StatusOr<std::string> image);
  void ForgetExpired(absl::Time now);
  void SaveUnsaved() ABSL_LOCKS_EXCLUDED(unsaved_mutex_);

  const Surroundings with_;
  JobRegistry registry_;
  std::atomic<int64_t> jobs_left_ = 0;
  Mutex unsaved_mutex_;
  std::set<std::shared_ptr<Job>> unsaved_ ABSL_GUARDED_BY(unsaved_mutex_);  // to be tried again
  std::unique_ptr<StoreThread> store_;  // null: nothing outlives the process
};

}  // namespace antidiffusion
