// The jobs of a service, wherever its processes run: what is accepted, who computes it, how it
// ended. A database decides; each verb is one transaction of it, and time is the database's clock.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/database/job_signals.h"
#include "server/database/sql.h"

namespace antidiffusion {

// A job that lost its worker so often is not run again.
inline constexpr int64_t kMostLosses = 2;

inline bool HasEnded(JobPhase phase) { return phase > JobPhase::kRunning; }

// What is told of a job is numbered. Each time that it is claimed, waits again or ends, its numbers
// go on at a multiple of this: whoever counts within one of these spans, in whatever process, stays
// below what comes after it.
inline constexpr int64_t kSequenceSpan = int64_t{1} << 32;
inline int64_t NextSequenceSpan(int64_t sequence) {
  return (sequence / kSequenceSpan + 1) * kSequenceSpan;
}

// Texts and bytes are the server's; nothing here understands them.
struct NewJob {
  std::string name;  // nobody else's
  std::string tenant;
  std::string request_id;    // "": none, and the job is forgotten soon after its end
  std::string request;       // without the image, serialised
  std::string request_hash;  // equal for equal requests
  std::string cache_key;  // equal for requests that give the same; "": never answered from a result
  std::string model;
  std::vector<std::string> also;  // further models, which its worker must have too
  int job_class = 0;         // within its tenant smaller ones go first, but for every fifth turn
  double cost = 0;           // planned work, in units of the server's choice
  std::string image_digest;  // of a blob that was put before
  int64_t image_bytes = 0;
  std::string trace;
  // The process whose callers wait for the job; "": nobody need wait for it.
  std::string holder;
  // Without a renewal by Want for so long it is cancelled.
  absl::Duration wanted_for = absl::InfiniteDuration();
  absl::Duration time_left = absl::InfiniteDuration();  // to its deadline
  absl::Duration kept_for = absl::Hours(24);            // its result, after its end
  bool may_wait = true;  // false: join an equal request, answer from a result, but queue nothing
};

// What a tenant may have. Written with each job that is accepted.
struct TenantLimits {
  double weight = 1;
  int64_t max_queued = std::numeric_limits<int64_t>::max();
  // Of images; with nothing waiting a tenant may have one of any size.
  int64_t max_queued_bytes = std::numeric_limits<int64_t>::max();
  int64_t max_running = 1'000'000'000;
  int64_t max_results = std::numeric_limits<int64_t>::max();  // jobs that have ended
  int64_t max_result_bytes = std::numeric_limits<int64_t>::max();
};

// What the service takes in at all.
struct QueueRoom {
  int64_t max_queued = std::numeric_limits<int64_t>::max();
  int64_t max_queued_bytes = std::numeric_limits<int64_t>::max();
};

struct AcceptAnswer {
  enum class Kind {
    kAccepted,    // it waits
    kJoined,      // `name` is that of an equal request
    kAnswered,    // it has ended at once, with the result that an equal job gave
    kReused,      // refused: the request id is that of another request, job `name`
    kMayNotWait,  // refused: `may_wait` is false, and nothing is known that answers
    kQueueFull,   // refused: no room for anybody
    kQueueBytesFull,
    kTenantFull,  // refused: the tenant has as many waiting jobs as it may
    kTenantBytesFull,
    kResultsFull,  // refused: the tenant's results, unread ones too, fill its allowance
  };
  Kind kind = Kind::kAccepted;
  std::string name;
  int64_t limit = 0;    // that was met, of a refusal
  int64_t evicted = 0;  // read results of this tenant that had to go
};

struct ClaimedJob {
  std::string name;
  std::string tenant;
  std::string request;
  std::string model;
  std::string request_id;
  std::string holder;
  std::string cache_key;
  std::string image_digest;
  std::string trace;
  int job_class = 0;
  int64_t image_bytes = 0;
  int64_t attempt = 0;   // what every later write of this attempt is fenced by
  int64_t attempts = 0;  // as they count: without those that were released
  int64_t losses = 0;    // how often a worker was lost with it
  int64_t sequence = 0;
  absl::Time created;
  absl::Time deadline;
  absl::Time now;  // of the claim
};

enum class Lease {
  kHeld,
  kCancelled,  // still held; it is to stop
  kLost,       // somebody else has the job, or it has ended: nothing was written
};

struct LeaseAnswer {
  Lease lease = Lease::kHeld;
  std::string why;    // of kCancelled, as Cancel was given it
  std::string error;  // the same
};

// How an attempt ended.
struct JobEnd {
  JobPhase phase = JobPhase::kSucceeded;  // one that has ended
  std::string error = {};                 // serialised
  std::string result = {};                // without the image, serialised
  std::string result_digest = {};         // of a blob that was put before
  int64_t result_bytes = 0;
  double cost = 0;                // work that it took, in the units of NewJob
  bool frees_request_id = false;  // a retry shall begin anew rather than hear of this end
  bool answers_equals = true;     // false: its result is not for requests of an equal cache key
};

// A job that a verb ended, for accounts.
struct EndedJob {
  std::string name;
  std::string tenant;
  std::string request_id;
  std::string model;
  std::string trace;
  JobPhase phase = JobPhase::kFailed;
  std::string error;
  absl::Time created;
};

struct StoredJobRow {
  std::string name;
  std::string tenant;
  std::string request_id;
  std::string request;
  std::string model;
  JobPhase phase = JobPhase::kQueued;
  int job_class = 0;
  int64_t attempts = 0;  // as they count: without those that were released
  int64_t sequence = 0;
  std::string holder;
  int64_t joined = 0;  // how often equal requests have joined it
  std::string image_digest;
  int64_t image_bytes = 0;
  std::string cache_key;
  std::string progress;
  absl::Time created;
  absl::Time deadline;
  absl::Time started;  // InfinitePast while it waits
  absl::Time ended;    // InfinitePast before its end
  absl::Time expires;
  std::string error;
  std::string result;
  std::string result_digest;
  int64_t result_bytes = 0;
  std::string trace;
  int64_t number = 0;  // grows with creation
  absl::Time now;      // of the reading
};

struct JobPage {
  std::vector<StoredJobRow> jobs;  // newest first
  int64_t next = 0;                // what to list before; 0: the last page
};

// A process that computes.
struct WorkerNote {
  std::string worker;
  std::string about;  // serialised: devices, speed
  int64_t capacity = 1;
  std::vector<std::string> models;
};

struct Reaped {
  int64_t requeued = 0;   // their worker was lost for the first time
  int64_t lost = 0;       // for the second time: failed
  int64_t expired = 0;    // waited past their deadline
  int64_t forgotten = 0;  // ended long ago
  int64_t abandoned = 0;  // nobody wanted them any more: cancelled, or told to stop
  int64_t workers = 0;
  int64_t blobs = 0;
  std::vector<EndedJob> ended = {};
};

// With what error jobs end that nobody else ends.
struct ReapErrors {
  std::string lost_twice;
  std::string expired;
  std::string abandoned;
  std::string why_abandoned;  // as of Cancel
};

struct QueueFigures {
  int64_t queued = 0;
  int64_t queued_first = 0;  // of class 0
  int64_t queued_bytes = 0;
  int64_t running = 0;
  int64_t ended = 0;  // and not forgotten
  int64_t result_bytes = 0;
  int64_t capacity = 0;  // of the workers that are there
};

// A part of a blob.
struct StoredPiece {
  std::string digest;
  int64_t offset = 0;  // of its first byte, from 0
  int64_t size = 0;    // bytes at most; fewer come where the blob ends
  bool check = false;  // read the whole blob first: whether it is what was put
};

struct QueuePlace {
  int64_t jobs = 0;  // served before it, about; 0 for the next
  double cost = 0;   // of those
};

// Jobs that have not ended, by tenant and model.
struct OpenJobs {
  std::string tenant;
  std::string model;
  int64_t count = 0;
};

// Thread-safe. Every verb: UNAVAILABLE where the database is away or cannot write, INTERNAL. An
// answer that was lost does no harm: a verb given again finds what the first one did. Only a claim
// that nobody heard of waits for its lease to run out, as if a worker had been lost.
class JobDatabase {
 public:
  // Brings the tables up to date. `pool` is this object's alone.
  static absl::StatusOr<std::unique_ptr<JobDatabase>> Open(std::unique_ptr<SqlPool> pool);

  // FAILED_PRECONDITION: the image's blob is not there (any more), and must be put again.
  absl::StatusOr<AcceptAnswer> Accept(const NewJob& job, const TenantLimits& share,
                                      const QueueRoom& room);

  // A waiting job of one of the models, of the tenant whose turn it is; none: nothing can be done.
  // `holder`, if not "": only of what is cancelled without that process.
  absl::StatusOr<std::optional<ClaimedJob>> Claim(const std::string& worker,
                                                  const std::vector<std::string>& models,
                                                  absl::Duration lease,
                                                  const std::string& holder = "");

  // The worker is alive. `progress` is kept under `sequence`, or under the number after the one
  // before if that is higher.
  absl::StatusOr<LeaseAnswer> Renew(const std::string& name, int64_t attempt, absl::Duration lease,
                                    const std::string& progress, int64_t sequence = 0);

  // False: the attempt is no longer the job's, and nothing was written. FAILED_PRECONDITION: the
  // result's blob is not there, and must be put again.
  absl::StatusOr<bool> Finish(const std::string& name, int64_t attempt, const JobEnd& end);
  // Back into the queue, as if this attempt had not been, or, with `lost`, as one whose worker was
  // lost. One that was cancelled ends instead, and is added to `ended`, if not null. A job that is
  // wanted by its callers alone and has a request id is kept from then on.
  absl::StatusOr<bool> Release(const std::string& name, int64_t attempt, bool lost = false,
                               std::vector<EndedJob>* ended = nullptr);

  // Ends a waiting job with `error`, tells the worker of a running one `why`. True: it waited, and
  // has ended now. NOT_FOUND.
  absl::StatusOr<bool> Cancel(const std::string& tenant, const std::string& name,
                              const std::string& why, const std::string& error,
                              bool frees_request_id = false);
  // The same, where `holder` alone wants the job, and nobody has joined it since it was `joined`;
  // else, and for a job that is gone or has ended, nothing.
  absl::StatusOr<bool> Abandon(const std::string& name, const std::string& holder, int64_t joined,
                               const std::string& why, const std::string& error);
  // Ends waiting jobs: all, or those that are cancelled without `holder`. At most `most`.
  absl::StatusOr<std::vector<EndedJob>> CancelWaiting(const std::string& holder,
                                                      const std::string& error, int64_t most = 100);

  // Callers in the process `holder` still wait for these.
  absl::Status Want(const std::vector<std::string>& names, const std::string& holder,
                    absl::Duration lease);

  // NOT_FOUND, for what is another tenant's too.
  absl::StatusOr<StoredJobRow> Get(const std::string& tenant, const std::string& name);
  // At most `size` of those before `before` (0: from the newest on).
  absl::StatusOr<JobPage> List(const std::string& tenant, std::optional<JobPhase> phase,
                               int64_t size, int64_t before);
  // NOT_FOUND; FAILED_PRECONDITION: it has not ended. `holder`, if not "": only what that process
  // alone wanted, else nothing.
  absl::Status Delete(const std::string& tenant, const std::string& name,
                      const std::string& holder = "");
  // Its result has been given out: it may go where the tenant's next one needs room.
  absl::Status MarkRead(const std::string& name);

  // NOT_FOUND: it does not wait.
  absl::StatusOr<QueuePlace> Position(const std::string& name);
  // The place that the tenant's next job of this class would have.
  absl::StatusOr<QueuePlace> PositionOfNext(const std::string& tenant, int job_class);
  absl::StatusOr<QueueFigures> Figures();
  // Waiting jobs: all, or those that are cancelled without `holder`.
  absl::StatusOr<int64_t> CountWaiting(const std::string& holder);
  // Counts jobs one by one: for beginnings and ends of servers.
  absl::StatusOr<std::vector<OpenJobs>> CountOpen();

  absl::Status Announce(const WorkerNote& note, absl::Duration lease);
  absl::StatusOr<std::vector<WorkerNote>> Workers();

  // What nobody does but time: call it about every second, from any process. At most `most` jobs of
  // a kind.
  absl::StatusOr<Reaped> Reap(const ReapErrors& errors, int64_t most = 100);

  // For the only process of the database, before it begins: no lease and no caller of an earlier
  // one is waited for. Reap then does the rest.
  absl::Status TakeOver();

  // By the SHA-256 of the bytes, which the caller gives; kept while a job names it, and ten minutes
  // after it was put. Get: NOT_FOUND.
  absl::Status PutBlob(const std::string& digest, const std::string& bytes);
  absl::StatusOr<std::string> GetBlob(const std::string& digest);
  // "" at the end of the blob and beyond. NOT_FOUND; DATA_LOSS, with `check`: the blob does not
  // have that digest.
  absl::StatusOr<std::string> GetBlobPiece(const StoredPiece& piece);

  // What changes, from the moment that it is committed: by this object, and what is published there
  // of other processes.
  JobSignals& signals() { return signals_; }

 private:
  explicit JobDatabase(std::unique_ptr<SqlPool> pool);

  JobSignals signals_;
  const std::unique_ptr<SqlPool> pool_;
};

}  // namespace antidiffusion
