// One protection from admission to its end: what was asked, what became of it, and the mailbox
// between the thread that works and the call that waits.
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
#include "core/base/mutex.h"
#include "core/image/codec.h"
#include "core/protect/options.h"
#include "core/protect/protector.h"
#include "core/protect/run_context.h"
#include "server/tracing/trace_context.h"

namespace antidiffusion {

enum class OutputFormat { kPng, kSameAsInput, kJpeg, kWebp };

// Interactive jobs go first, batch jobs get a share nevertheless.
enum class JobPriority { kInteractive, kBatch };

struct JobRequest {
  std::string image;  // the encoded file
  std::string model;  // of the catalogue, never empty
  ProtectionOptions options;
  OutputFormat output = OutputFormat::kPng;
  int quality = 95;
  std::string request_id;
  std::map<std::string, std::string> labels;
  std::string tenant;                   // who asks; "" where the server knows no tenants
  std::optional<JobPriority> priority;  // unset: the RPC's own
  TraceContext trace;
};

struct JobReport {
  int max_difference = 0;  // levels; on the re-decoded bytes for a lossless output
  int bound = 0;           // levels, proven
  double psnr = 0;         // dB
  double ssim = 0;
  int codec_difference = 0;  // levels that a lossy output added on top
  std::string codec_note;
  std::optional<FullReport> full;
};

struct JobResult {
  std::string image;  // the encoded file
  ImageFormat format = ImageFormat::kPng;
  JobReport report;
  ModelInfo model;
  uint64_t seed = 0;
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

// What the call should do next. An event alone: write it. An event and OK: write it and finish.
// An error alone: finish with it. Neither: wait.
struct Delivery {
  std::optional<JobEvent> event;
  std::optional<absl::Status> final_status;
};

// Shared by the queue, the worker that runs it and the call that waits for it, whichever lives
// longest. Thread-safe.
class Job {
 public:
  using Clock = std::function<absl::Time()>;
  // Called once, on the thread that ended the job, before the listener hears of it.
  using OnFinished = std::function<void(const Job& job, const absl::Status& status)>;

  Job(JobRequest request, absl::Time deadline, std::optional<double> expected_seconds, Clock now,
      OnFinished on_finished);
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  const std::string& name() const { return name_; }  // 128 random bits, hex
  const JobRequest& request() const { return request_; }
  int64_t bytes() const { return bytes_; }  // of the encoded image
  absl::Time deadline() const { return deadline_; }
  absl::Time admitted() const { return admitted_; }
  std::stop_token stop_token() const { return stop_.get_token(); }

  // How often a worker has started it: once, and once more after each Restart.
  int attempts() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Gives up the request's image. For the worker, once it will not run the job again.
  std::string TakeImage() { return std::move(request_.image); }

  // `listener` is called, on any thread, whenever Take may have something new. After
  // SetListener(nullptr) has returned no call is running and none will come.
  void SetListener(std::function<void()> listener) ABSL_LOCKS_EXCLUDED(listener_mutex_);
  void Notify() ABSL_LOCKS_EXCLUDED(listener_mutex_);

  // The next thing to tell the caller. Progress is coalesced (the latest wins); a result is kept.
  Delivery Take() ABSL_LOCKS_EXCLUDED(mutex_);

  // Puts the latest event once more into the mailbox, so that a stream does not fall silent.
  void Refresh() ABSL_LOCKS_EXCLUDED(mutex_);

  // For the queue; does not notify.
  void SetQueued(const QueuedEvent& event) ABSL_LOCKS_EXCLUDED(mutex_);

  // For the worker.
  void Start(const RunningEvent& event) ABSL_LOCKS_EXCLUDED(mutex_);
  void Report(const Progress& progress) ABSL_LOCKS_EXCLUDED(mutex_);

  // For the worker, which was lost: the job waits again, from its beginning. Sequences go on.
  void Restart() ABSL_LOCKS_EXCLUDED(mutex_);

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
  bool finished() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return ended_; }
  void End(absl::Status status, std::shared_ptr<const JobResult> result)
      ABSL_LOCKS_EXCLUDED(mutex_, listener_mutex_);

  const std::string name_;
  JobRequest request_;
  const int64_t bytes_;
  const absl::Time deadline_;
  const std::optional<double> expected_seconds_;
  const Clock now_;
  const OnFinished on_finished_;
  const absl::Time admitted_;
  std::stop_source stop_;

  mutable Mutex mutex_;
  uint64_t sequence_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<QueuedEvent> queued_ ABSL_GUARDED_BY(mutex_);  // latest
  std::optional<Progress> progress_ ABSL_GUARDED_BY(mutex_);   // latest
  absl::Time progress_at_ ABSL_GUARDED_BY(mutex_);
  bool started_ ABSL_GUARDED_BY(mutex_) = false;
  int attempts_ ABSL_GUARDED_BY(mutex_) = 0;
  bool queued_sent_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<JobEvent> queued_event_ ABSL_GUARDED_BY(mutex_);  // these four: not yet taken
  std::optional<JobEvent> running_event_ ABSL_GUARDED_BY(mutex_);
  std::optional<JobEvent> progress_event_ ABSL_GUARDED_BY(mutex_);
  std::optional<JobEvent> result_event_ ABSL_GUARDED_BY(mutex_);
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;                  // the first end claims it
  std::optional<absl::Status> status_ ABSL_GUARDED_BY(mutex_);  // of the end, once it is public
  bool end_taken_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> cancel_reason_ ABSL_GUARDED_BY(mutex_);
  absl::Time cancelled_at_ ABSL_GUARDED_BY(mutex_);

  Mutex listener_mutex_;  // taken before mutex_, never while holding it
  std::function<void()> listener_ ABSL_GUARDED_BY(listener_mutex_);
};

}  // namespace antidiffusion
