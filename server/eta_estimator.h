// How long a job will take, learnt from those that ran.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "core/api/options.h"

namespace antidiffusion {

// Thread-safe. Bounded: options come from callers, so only the kinds of job seen last are kept.
class EtaEstimator {
 public:
  // Beyond this many kinds the one that has not run for longest is forgotten.
  static constexpr size_t kMaxKinds = 256;

  // A finished job of `model` with `options` took `seconds` on its device for `steps` optimiser
  // steps (less than 1 counts as 1).
  void Record(const std::string& model, const ProtectionOptions& options, double seconds, int steps)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Seconds that such a job is expected to take with the fewest steps seen: an image worked on in
  // one piece. A long strip takes those steps for each of its pieces. nullopt when none like it
  // (same models, method, objectives, step counts and so on) has finished yet.
  std::optional<double> Expected(const std::string& model, const ProtectionOptions& options) const
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Estimate {
    double seconds_per_step = 0;
    int steps = 1;  // the fewest of a job
    uint64_t last_use = 0;
  };

  mutable Mutex mutex_;
  uint64_t uses_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, Estimate> estimates_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace antidiffusion
