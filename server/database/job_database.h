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
#include "server/database/sql.h"

namespace antidiffusion {

enum class JobPhase {
  kQueued = 0,
  kRunning = 1,
  kSucceeded = 2,
  kFailed = 3,
  kCancelled = 4,
  kExpired = 5
};

inline bool HasEnded(JobPhase phase) { return phase > JobPhase::kRunning; }

// Texts and bytes are the server's; nothing here understands them.
struct NewJob {
  std::string name;  // nobody else's
  std::string tenant;
  std::string request_id;    // "": none
  std::string request;       // without the image, serialised
  std::string request_hash;  // equal for equal requests
  std::string cache_key;  // equal for requests that give the same; "": never answered from a result
  std::string model;
  int job_class = 0;         // within its tenant smaller ones go first, but for every fifth turn
  double cost = 0;           // planned work, in units of the server's choice
  std::string image_digest;  // of a blob that was put before
  int64_t image_bytes = 0;
  std::string trace;
  absl::Duration time_left = absl::InfiniteDuration();  // to its deadline
  absl::Duration kept_for = absl::Hours(24);            // its result, after its end
};

// What a tenant may have. Written with each job that is accepted.
struct TenantShare {
  double weight = 1;
  int64_t max_queued = std::numeric_limits<int64_t>::max();
  int64_t max_running = 1'000'000'000;
  int64_t max_result_bytes = std::numeric_limits<int64_t>::max();
};

// What the service takes in at all.
struct QueueRoom {
  int64_t max_queued = std::numeric_limits<int64_t>::max();
  int64_t max_queued_bytes = std::numeric_limits<int64_t>::max();
};

struct AcceptAnswer {
  enum class Kind {
    kAccepted,     // it waits
    kJoined,       // `name` is that of an equal request
    kAnswered,     // it has ended at once, with the result that an equal job gave
    kReused,       // refused: the request id is that of another request, job `name`
    kQueueFull,    // refused: no room for anybody
    kTenantFull,   // refused: the tenant has as many waiting jobs as it may
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
  std::string image_digest;
  std::string trace;
  int64_t attempt = 0;  // what every later write of this attempt is fenced by
  int64_t losses = 0;   // how often a worker was lost with it
  absl::Time created;
  absl::Time deadline;
};

enum class Lease {
  kHeld,
  kCancelled,  // still held; it is to stop
  kLost,       // somebody else has the job, or it has ended: nothing was written
};

struct LeaseAnswer {
  Lease lease = Lease::kHeld;
  std::string why;  // of kCancelled, as Cancel was given it
};

// How an attempt ended.
struct JobEnd {
  JobPhase phase = JobPhase::kSucceeded;  // one that has ended
  std::string error = {};                 // serialised
  std::string result = {};                // without the image, serialised
  std::string result_digest = {};         // of a blob that was put before
  int64_t result_bytes = 0;
  double cost = 0;  // work that it took, in the units of NewJob
};

struct StoredJobRow {
  std::string name;
  std::string tenant;
  std::string request_id;
  std::string request;
  std::string model;
  JobPhase phase = JobPhase::kQueued;
  int job_class = 0;
  int64_t attempt = 0;
  int64_t sequence = 0;
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
  int64_t workers = 0;
  int64_t blobs = 0;
};

struct QueueFigures {
  int64_t queued = 0;
  int64_t queued_bytes = 0;
  int64_t running = 0;
  int64_t capacity = 0;  // of the workers that are there
};

// Thread-safe. Every verb: UNAVAILABLE where the database is away or cannot write, INTERNAL. An
// answer that was lost does no harm: a verb given again finds what the first one did. Only a claim
// that nobody heard of waits for its lease to run out, as if a worker had been lost.
class JobDatabase {
 public:
  // Brings the tables up to date. `pool` is this object's alone.
  static absl::StatusOr<std::unique_ptr<JobDatabase>> Open(std::unique_ptr<SqlPool> pool);

  // FAILED_PRECONDITION: the image's blob is not there (any more), and must be put again.
  absl::StatusOr<AcceptAnswer> Accept(const NewJob& job, const TenantShare& share,
                                      const QueueRoom& room);

  // A waiting job of one of the models, of the tenant whose turn it is; none: nothing can be done.
  absl::StatusOr<std::optional<ClaimedJob>> Claim(const std::string& worker,
                                                  const std::vector<std::string>& models,
                                                  absl::Duration lease);

  // The worker is alive. `progress` is kept with a higher `sequence` than the one before.
  absl::StatusOr<LeaseAnswer> Renew(const std::string& name, int64_t attempt, absl::Duration lease,
                                    const std::string& progress);

  // False: the attempt is no longer the job's, and nothing was written. FAILED_PRECONDITION: the
  // result's blob is not there, and must be put again.
  absl::StatusOr<bool> Finish(const std::string& name, int64_t attempt, const JobEnd& end);
  // Back into the queue, as if this attempt had not been.
  absl::StatusOr<bool> Release(const std::string& name, int64_t attempt);

  // Ends a waiting job with `error`, tells the worker of a running one `why`. NOT_FOUND; OK where
  // it has ended already.
  absl::Status Cancel(const std::string& tenant, const std::string& name, const std::string& why,
                      const std::string& error);

  // NOT_FOUND, for what is another tenant's too.
  absl::StatusOr<StoredJobRow> Get(const std::string& tenant, const std::string& name);
  // At most `size` of those before `before` (0: from the newest on).
  absl::StatusOr<JobPage> List(const std::string& tenant, std::optional<JobPhase> phase,
                               int64_t size, int64_t before);
  // NOT_FOUND; FAILED_PRECONDITION: it has not ended.
  absl::Status Delete(const std::string& tenant, const std::string& name);
  // Its result has been given out: it may go where the tenant's next one needs room.
  absl::Status MarkRead(const std::string& name);

  // How many jobs are served before this one, about: 0 for the next. NOT_FOUND: it does not wait.
  absl::StatusOr<int64_t> Position(const std::string& name);
  absl::StatusOr<QueueFigures> Figures();

  absl::Status Announce(const WorkerNote& note, absl::Duration lease);
  absl::StatusOr<std::vector<WorkerNote>> Workers();

  // What nobody does but time: call it about every second, from any process. `lost_error` ends jobs
  // that were lost twice, `expired_error` those past their deadline. At most `most` jobs of a kind.
  absl::StatusOr<Reaped> Reap(const std::string& lost_error, const std::string& expired_error,
                              int64_t most = 100);

  // By the SHA-256 of the bytes, which the caller gives; kept while a job names it, and ten minutes
  // after it was put. Get: NOT_FOUND.
  absl::Status PutBlob(const std::string& digest, const std::string& bytes);
  absl::StatusOr<std::string> GetBlob(const std::string& digest);

  // The database's clock.
  absl::StatusOr<absl::Time> Now();

 private:
  explicit JobDatabase(std::unique_ptr<SqlPool> pool) : pool_(std::move(pool)) {}

  const std::unique_ptr<SqlPool> pool_;
};

}  // namespace antidiffusion
