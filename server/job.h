// One protection as those see it who watch or run it in this process: what was asked, and what is
// known of its way so far. The database decides what becomes of it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "core/api/options.h"
#include "core/api/protector.h"
#include "core/api/run_context.h"
#include "core/image/codec.h"
#include "core/image/visibility.h"
#include "server/tracing/trace_context.h"

namespace antidiffusion {

enum class OutputFormat { kPng, kSameAsInput, kJpeg, kWebp };

// Interactive jobs go first, batch jobs get a share nevertheless.
enum class JobPriority { kInteractive, kBatch };

struct JobRequest {
  std::string image;  // the encoded file; a job keeps it apart, see Job::image
  std::string model;  // of the catalogue, never empty
  ProtectionOptions options;
  OutputFormat output = OutputFormat::kPng;
  int quality = 95;
  std::string request_id;
  std::map<std::string, std::string> labels;
  std::string tenant;                   // who asks; "" where the server knows no tenants
  std::optional<JobPriority> priority;  // unset: the RPC's own
  TraceContext trace;
  bool detached = false;     // made by CreateJob: no caller need wait for it
  std::string body;          // the message without image and request_id, serialised
  std::string body_hash;     // SHA-256 of body and image, hex
  std::string image_digest;  // SHA-256 of the image, hex
  std::string cache_key;     // equal ones mean equal results; "": not to be looked for

  // Whether the job and its result outlive the call that made it.
  bool kept() const { return detached || !request_id.empty(); }
};

struct JobReport {
  int max_difference = 0;  // levels; on the re-decoded bytes for a lossless output
  int bound = 0;           // levels, proven
  double psnr = 0;         // dB
  double ssim = 0;
  double visibility_limit = 0;  // of visibility.chroma_bias, proven; 0: none
  Visibility visibility;
  int codec_difference = 0;  // levels that a lossy output added on top
  std::string codec_note;
  std::optional<FullReport> full;
};

struct JobResult {
  std::string image;         // the encoded file; "" where it is in the database alone
  std::string image_digest;  // SHA-256 of the image, hex, where it comes from the database; else ""
  int64_t image_bytes = 0;   // of the image, where it comes from the database
  int64_t bytes() const { return image.empty() ? image_bytes : static_cast<int64_t>(image.size()); }
  ImageFormat format = ImageFormat::kPng;
  JobReport report;
  ModelInfo model;
  uint64_t seed = 0;
  int64_t unet_passes = 0;
  std::map<std::string, double> stage_seconds;
};

struct QueuedEvent {
  int position = 0;        // jobs before this one, running ones included
  double eta_seconds = 0;  // until the result; 0 while unknown
};

struct RunningEvent {
  std::string model;
  std::string device;
};

struct JobEvent {
  uint64_t sequence = 0;  // from 1
  std::variant<QueuedEvent, RunningEvent, Progress, std::shared_ptr<const JobResult>> what;
};

// What a reader should do next. An event alone: write it. An event and OK: write it and finish. A
// status alone: finish with it. Neither: wait.
struct Delivery {
  std::optional<JobEvent> event;
  std::optional<absl::Status> final_status;
};

enum class JobState { kQueued, kRunning, kSucceeded, kFailed, kCancelled, kExpired };

// What the end of a job with `status` is called.
JobState EndStateOf(const absl::Status& status);

// A job at one moment.
struct JobSnapshot {
  JobState state = JobState::kQueued;
  absl::Status status;                      // of the end
  std::optional<absl::Time> started;        // the latest attempt
  std::optional<absl::Time> ended;          //
  int attempts = 0;                         // how often a worker has begun it
  uint64_t sequence = 0;                    // of the latest event
  QueuedEvent queued;                       // kQueued
  Progress progress;                        // kRunning
  std::shared_ptr<const JobResult> result;  // kSucceeded; shared with whoever reads it now
};

// Which job of the database it is.
struct JobIdentity {
  std::string name;
  absl::Time admitted;
  int64_t image_bytes = 0;
};

// What the database says of a job.
struct JobNews {
  JobState state = JobState::kQueued;
  int attempts = 0;
  uint64_t sequence = 0;
  std::optional<absl::Time> started = {};
  std::optional<RunningEvent> running = {};  // where and with what, once its worker has told
  std::optional<Progress> progress = {};
  std::optional<absl::Time> ended = {};
  absl::Status status = {};                           // of the end
  std::shared_ptr<const JobResult> result = nullptr;  // of a good end
};

// Shared by the worker that runs it and the calls that read it, whichever lives longest. Whoever
// knows more of the job tells it; it calls nobody but its listeners. Of each kind of event it keeps
// the latest, so that any number of readers, each with a cursor of its own, costs nothing but the
// cursor. Thread-safe.
class Job {
 public:
  using Clock = std::function<absl::Time()>;

  // A new one, whose image is the request's.
  Job(JobRequest request, absl::Time deadline, std::optional<double> expected_seconds, Clock now);
  // One of the database.
  Job(JobRequest request, JobIdentity identity, absl::Time deadline,
      std::optional<double> expected_seconds, Clock now);
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  const std::string& name() const { return name_; }       // 128 random bits, hex
  const JobRequest& request() const { return request_; }  // without the image
  int64_t bytes() const { return bytes_; }                // of the encoded image
  absl::Time admitted() const { return admitted_; }
  std::stop_token stop_token() const ABSL_LOCKS_EXCLUDED(mutex_);  // of the latest attempt
  std::optional<double> expected_seconds() const { return expected_seconds_; }
  absl::Time deadline() const ABSL_LOCKS_EXCLUDED(mutex_);

  // The encoded image, until it is offered to the database, and again while the job runs here; else
  // null.
  // Shared with whoever reads it at that moment.
  std::shared_ptr<const std::string> image() const ABSL_LOCKS_EXCLUDED(mutex_);
  void SetImage(std::shared_ptr<const std::string> image) ABSL_LOCKS_EXCLUDED(mutex_);

  // `listener` is called, on any thread, whenever EventAfter may have something new. After
  // RemoveListener has returned no call of it is running and none will come.
  int AddListener(std::function<void()> listener) ABSL_LOCKS_EXCLUDED(listener_mutex_);
  void RemoveListener(int id) ABSL_LOCKS_EXCLUDED(listener_mutex_);
  void Notify() ABSL_LOCKS_EXCLUDED(listener_mutex_);

  // The next thing to tell a reader who knows everything up to sequence `cursor`; 0: nothing.
  // Progress is coalesced (the latest wins), a place in the queue is left out once it is over for a
  // reader who has heard of the job, and a result is kept.
  Delivery EventAfter(uint64_t cursor) const ABSL_LOCKS_EXCLUDED(mutex_);

  // Numbers the latest event anew, so that a stream does not fall silent.
  void Refresh() ABSL_LOCKS_EXCLUDED(mutex_);

  JobSnapshot Snapshot() const ABSL_LOCKS_EXCLUDED(mutex_);
  int attempts() const ABSL_LOCKS_EXCLUDED(mutex_);  // how often a worker has begun it
  uint64_t sequence() const ABSL_LOCKS_EXCLUDED(mutex_);

  // While it waits; does not notify.
  void SetQueued(const QueuedEvent& event) ABSL_LOCKS_EXCLUDED(mutex_);

  // What the database says, of a job that runs elsewhere, waits or has ended.
  void Follow(const JobNews& news) ABSL_LOCKS_EXCLUDED(mutex_);

  // For the worker in this process, from the claim on. Its events are numbered from `sequence`.
  struct Claimed {
    int attempts = 0;  // with this one
    uint64_t sequence = 0;
    absl::Time deadline;
  };
  void Claim(const Claimed& claimed) ABSL_LOCKS_EXCLUDED(mutex_);
  void Start(const RunningEvent& event) ABSL_LOCKS_EXCLUDED(mutex_);
  void Report(const Progress& progress) ABSL_LOCKS_EXCLUDED(mutex_);
  // Its worker was lost: the job waits again, from its beginning; sequences go on.
  void Restart() ABSL_LOCKS_EXCLUDED(mutex_);
  std::optional<RunningEvent> running() const ABSL_LOCKS_EXCLUDED(mutex_);

  // The end; the first one counts, later ones change nothing.
  void Succeed(JobResult result) ABSL_LOCKS_EXCLUDED(mutex_);
  void Fail(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

  // Asks the worker to stop before its next step and to fail the job with `why`. The first counts.
  void Cancel(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mutex_);
  std::optional<absl::Status> cancel_reason() const ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Duration since_cancel() const ABSL_LOCKS_EXCLUDED(mutex_);  // zero when not cancelled

  // Seconds that this job still needs on its device, as far as is known.
  std::optional<double> remaining_seconds() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  bool finished() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return ended_.has_value(); }
  uint64_t NextSequence(uint64_t at_least) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void End(absl::Time at, const absl::Status& status, std::shared_ptr<const JobResult> result,
           uint64_t sequence) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EndHere(const absl::Status& status, std::shared_ptr<const JobResult> result)
      ABSL_LOCKS_EXCLUDED(mutex_, listener_mutex_);
  void WaitAgain() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FollowRun(const JobNews& news) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string name_;
  JobRequest request_;  // const but for the constructor
  const int64_t bytes_;
  const std::optional<double> expected_seconds_;
  const Clock now_;
  const absl::Time admitted_;

  mutable Mutex mutex_;
  std::stop_source stop_ ABSL_GUARDED_BY(mutex_);
  absl::Time deadline_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const std::string> image_ ABSL_GUARDED_BY(mutex_);
  uint64_t sequence_ ABSL_GUARDED_BY(mutex_) = 0;
  int attempts_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<absl::Time> started_ ABSL_GUARDED_BY(mutex_);  // unset while it waits
  std::optional<JobEvent> queued_ ABSL_GUARDED_BY(mutex_);     // these four: the latest of a kind
  std::optional<JobEvent> running_ ABSL_GUARDED_BY(mutex_);
  std::optional<JobEvent> progress_ ABSL_GUARDED_BY(mutex_);
  std::optional<JobEvent> result_ ABSL_GUARDED_BY(mutex_);
  std::optional<Progress> reported_ ABSL_GUARDED_BY(mutex_);  // by the worker, latest
  absl::Time reported_at_ ABSL_GUARDED_BY(mutex_);
  uint64_t followed_ ABSL_GUARDED_BY(mutex_) = 0;  // of the latest news
  std::optional<absl::Time> ended_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Status> status_ ABSL_GUARDED_BY(mutex_);  // once ended_
  std::optional<absl::Status> cancel_reason_ ABSL_GUARDED_BY(mutex_);
  absl::Time cancelled_at_ ABSL_GUARDED_BY(mutex_);

  Mutex listener_mutex_;  // taken before mutex_, never while holding it
  std::map<int, std::function<void()>> listeners_ ABSL_GUARDED_BY(listener_mutex_);
  int next_listener_ ABSL_GUARDED_BY(listener_mutex_) = 0;
};

}  // namespace antidiffusion
