// The arrivals of a run: when, who, what, and how rudely. The same settings give the same plan.
#pragma once

#include <cstdint>
#include <optional>
#include <random>

#include "absl/time/time.h"
#include "tests/load/settings.h"

namespace antidiffusion {

enum class RequestKind { kProtect, kJob };

struct Arrival {
  int64_t number = 0;
  absl::Duration at;  // since the run's start
  RequestKind kind = RequestKind::kProtect;
  size_t tenant = 0;   // index into the settings', as the next
  size_t picture = 0;  // of the sizes
  uint64_t seed = 0;   // of the protection; no two arrivals of a run share one
  bool slow = false;
  std::optional<absl::Duration> cancel_after = {};  // since the arrival
};

// Not thread-safe. `settings` must outlive it.
class ArrivalPlan {
 public:
  explicit ArrivalPlan(const LoadSettings& settings);

  // nullopt: that was the last one.
  std::optional<Arrival> Next();

 private:
  double Draw() { return std::uniform_real_distribution<double>(0, 1)(generator_); }
  absl::Duration DrawExponential(absl::Duration mean);
  size_t DrawTenant();

  const LoadSettings& settings_;
  std::mt19937_64 generator_;
  int64_t next_ = 0;
  absl::Duration at_ = absl::ZeroDuration();
};

}  // namespace antidiffusion
