// One protection from admission to its end: what was asked, what became of it, and the board
// between the thread that works and the calls that read.
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
#include "server/store_gate.h"
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
  std::string image;         // the encoded file; "" once it is in the job store alone
  std::string image_digest;  // SHA-256 of the image, hex, once it is stored; else ""
  int64_t image_bytes = 0;   // of the image, once it is stored
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

// What a job from the job store has behind it.
struct JobPast {
  std::string name;
  absl::Time admitted;
  int attempts = 0;
  uint64_t sequence = 0;  // of the latest event; what comes now is numbered after it
  std::optional<absl::Time> started;
  std::optional<absl::Time> ended;
  absl::Status status;                      // of the end
  std::shared_ptr<const JobResult> result;  // of a good end
};

// Shared by the queue, the worker that runs it and the calls that read it, whichever lives longest.
// Of each kind of event it keeps the latest, so that any number of readers, each with a cursor of
// its own, costs nothing but the cursor. Thread-safe.
class Job : public std::enable_shared_from_this<Job> {
 public:
  // How often a job is begun at most, whether its worker or the server was lost.
  static constexpr int kMaxAttempts = 2;

  using Clock = std::function<absl::Time()>;
  // Called once, on the thread that ended the job, before any reader hears of it.
  using OnFinished = std::function<void(Job& job, const absl::Status& status)>;
  // Called on the worker's thread each time that it has begun the job.
  using OnStarted = std::function<void(Job& job)>;

  Job(JobRequest request, absl::Time deadline, std::optional<double> expected_seconds, Clock now,
      OnFinished on_finished, OnStarted on_started = nullptr);
  // One that goes on, or has ended, with `past` behind it.
  Job(JobRequest request, const JobPast& past, absl::Time deadline, Clock now,
      OnFinished on_finished, OnStarted on_started);
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  const std::string& name() const { return name_; }       // 128 random bits, hex
  const JobRequest& request() const { return request_; }  // without the image
  int64_t bytes() const { return bytes_; }                // of the encoded image
  absl::Time deadline() const { return deadline_; }
  absl::Time admitted() const { return admitted_; }
  std::stop_token stop_token() const { return stop_.get_token(); }
  StoreGate& stored() { return stored_; }  // opens when the job is stored, or cannot be

  // The encoded image, kept for as long as the job may have to begin anew; null once it has ended.
  // Shared with whoever reads it at that moment.
  std::shared_ptr<const std::string> image() const ABSL_LOCKS_EXCLUDED(mutex_);

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

  // As its readers may know it; for the journal, an end counts from its first moment.
  enum class View { kPublic, kJournal };
  JobSnapshot Snapshot(View view = View::kPublic) const ABSL_LOCKS_EXCLUDED(mutex_);
  int attempts() const ABSL_LOCKS_EXCLUDED(mutex_);  // how often a worker has begun it

  // For the queue; does not notify.
  void SetQueued(const QueuedEvent& event) ABSL_LOCKS_EXCLUDED(mutex_);

  // For the worker. Restart is for one that was lost: the job waits again, from its beginning;
  // sequences go on.
  void Start(const RunningEvent& event) ABSL_LOCKS_EXCLUDED(mutex_);
  void Report(const Progress& progress) ABSL_LOCKS_EXCLUDED(mutex_);
  void Restart() ABSL_LOCKS_EXCLUDED(mutex_);

  // The end; the first one counts, later ones change nothing.
  void Succeed(JobResult result) ABSL_LOCKS_EXCLUDED(mutex_);
  void Fail(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

  // An end without accounts: the job was never taken in.
  void Refuse(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

  // Succeeds with what an equal job gave.
  void SucceedAs(std::shared_ptr<const JobResult> result) ABSL_LOCKS_EXCLUDED(mutex_);

  // The result's image is in the job store under `digest`: it need not be held here.
  void ResultStored(const std::string& digest) ABSL_LOCKS_EXCLUDED(mutex_);

  // Asks the worker to stop before its next step and to fail the job with `why`. The first counts.
  void Cancel(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mutex_);
  std::optional<absl::Status> cancel_reason() const ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Duration since_cancel() const ABSL_LOCKS_EXCLUDED(mutex_);  // zero when not cancelled

  // Seconds that this job still needs on its device, as far as is known.
  std::optional<double> remaining_seconds() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  bool finished() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return ended_.has_value(); }
  void End(absl::Status status, std::shared_ptr<const JobResult> result, bool settle = true)
      ABSL_LOCKS_EXCLUDED(mutex_, listener_mutex_);

  const std::string name_;
  JobRequest request_;  // const but for the constructor
  const int64_t bytes_;
  const absl::Time deadline_;
  const std::optional<double> expected_seconds_;
  const Clock now_;
  const OnFinished on_finished_;
  const OnStarted on_started_;
  const absl::Time admitted_;
  std::stop_source stop_;
  StoreGate stored_;

  mutable Mutex mutex_;
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
  std::optional<absl::Time> ended_ ABSL_GUARDED_BY(mutex_);     // the first end claims it
  absl::Status end_status_ ABSL_GUARDED_BY(mutex_);             // once ended_
  std::optional<absl::Status> status_ ABSL_GUARDED_BY(mutex_);  // the same, once it is public
  std::optional<absl::Status> cancel_reason_ ABSL_GUARDED_BY(mutex_);
  absl::Time cancelled_at_ ABSL_GUARDED_BY(mutex_);

  Mutex listener_mutex_;  // taken before mutex_, never while holding it
  std::map<int, std::function<void()>> listeners_ ABSL_GUARDED_BY(listener_mutex_);
  int next_listener_ ABSL_GUARDED_BY(listener_mutex_) = 0;
};

}  // namespace antidiffusion
