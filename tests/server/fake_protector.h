// An engine whose steps, results and errors are the test's to decide.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "base/mutex.h"
#include "core/api/protector.h"
#include "server/engine/device_engine.h"

namespace antidiffusion {

// What every FakeProtector of a test shares: its orders and what it has seen. Thread-safe.
// By default a job has three steps, takes no time and changes each image by `difference` levels.
class FakeEngine {
 public:
  struct Orders {
    int steps = 3;
    int difference = 2;                     // levels that the result differs by
    int bound = 6;                          // that it claims to be proven
    double visibility = 0;                  // that it promises
    absl::Status error = absl::OkStatus();  // instead of a result, after the last step
    double eta_seconds = 0;
    bool hold_loading = false;
    bool hold_steps = false;  // each step then waits for AllowSteps
    std::map<std::string, absl::Status> broken_models = {};
    std::set<std::string> encoders = {};              // models without a UNet
    std::map<std::string, std::string> digests = {};  // of weights; else 0123abcd
  };

  explicit FakeEngine(Orders orders) : orders_(std::move(orders)) {}

  // Makes engines that load FakeProtectors, which obey this one; it outlives them.
  EngineFactory Factory();
  absl::StatusOr<std::unique_ptr<Protector>> Load(const LoadOptions& options)
      ABSL_LOCKS_EXCLUDED(mutex_);

  void ReleaseLoading() ABSL_LOCKS_EXCLUDED(mutex_);
  void AllowSteps(int count) ABSL_LOCKS_EXCLUDED(mutex_);
  void AllowAllSteps() ABSL_LOCKS_EXCLUDED(mutex_);

  // Each waits for what it is named after.
  void WaitForJobs(int started) ABSL_LOCKS_EXCLUDED(mutex_);
  void WaitForStepBegun(int step) ABSL_LOCKS_EXCLUDED(mutex_);  // counted over all jobs
  void WaitForStop() ABSL_LOCKS_EXCLUDED(mutex_);               // a running job was asked to stop

  int jobs() const ABSL_LOCKS_EXCLUDED(mutex_);   // started
  int steps() const ABSL_LOCKS_EXCLUDED(mutex_);  // done, of all jobs
  ProtectionOptions last_options() const ABSL_LOCKS_EXCLUDED(mutex_);
  int last_channels() const ABSL_LOCKS_EXCLUDED(mutex_);  // of its image

 private:
  friend class FakeProtector;

  absl::StatusOr<ProtectionResult> Run(const Image& image, const ProtectionOptions& options,
                                       const RunContext& run) ABSL_LOCKS_EXCLUDED(mutex_);
  void OneStep() ABSL_LOCKS_EXCLUDED(mutex_);

  mutable Mutex mutex_;
  CondVar changed_;
  Orders orders_ ABSL_GUARDED_BY(mutex_);
  int allowed_steps_ ABSL_GUARDED_BY(mutex_) = 0;
  int jobs_ ABSL_GUARDED_BY(mutex_) = 0;
  int steps_begun_ ABSL_GUARDED_BY(mutex_) = 0;
  int steps_ ABSL_GUARDED_BY(mutex_) = 0;
  int stops_ ABSL_GUARDED_BY(mutex_) = 0;
  ProtectionOptions last_options_ ABSL_GUARDED_BY(mutex_);
  int last_channels_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace antidiffusion
