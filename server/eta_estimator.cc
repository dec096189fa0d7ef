#include "server/eta_estimator.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/wire/option_conversion.h"

namespace antidiffusion {
namespace {

constexpr double kNewShare = 0.3;  // of the newest measurement in the moving mean

// What the time of a job depends on: its model and all options but those that change numbers alone.
std::string Kind(const std::string& model, const ProtectionOptions& options) {
  v1::ProtectionOptions kind = ToProto(options);
  kind.clear_seed();
  kind.clear_prompt();
  kind.clear_budget_levels();
  kind.clear_step_size_levels();
  kind.clear_prompt_lr();
  kind.clear_tuning_lr();
  kind.clear_momentum();
  kind.clear_timestep_min();
  kind.clear_timestep_max();
  kind.clear_random_start();
  for (v1::ObjectiveTerm& term : *kind.mutable_objectives()) term.clear_weight();
  return absl::StrCat(model, "\n", kind.SerializeAsString());
}

}  // namespace

void EtaEstimator::Record(const std::string& model, const ProtectionOptions& options,
                          double seconds, int steps) {
  const std::string kind = Kind(model, options);
  steps = std::max(steps, 1);
  const double per_step = seconds / steps;
  MutexLock lock(mutex_);
  const auto found = estimates_.find(kind);
  if (found != estimates_.end()) {
    Estimate& estimate = found->second;
    estimate.seconds_per_step += kNewShare * (per_step - estimate.seconds_per_step);
    estimate.steps = std::min(estimate.steps, steps);
    estimate.last_use = ++uses_;
    return;
  }
  if (estimates_.size() >= kMaxKinds) {
    estimates_.erase(std::min_element(
        estimates_.begin(), estimates_.end(),
        [](const auto& a, const auto& b) { return a.second.last_use < b.second.last_use; }));
  }
  estimates_[kind] = Estimate{per_step, steps, ++uses_};
}

std::optional<double> EtaEstimator::Expected(const std::string& model,
                                             const ProtectionOptions& options) const {
  const std::string kind = Kind(model, options);
  MutexLock lock(mutex_);
  const auto found = estimates_.find(kind);
  if (found == estimates_.end()) return std::nullopt;
  return found->second.seconds_per_step * found->second.steps;
}

}  // namespace antidiffusion
