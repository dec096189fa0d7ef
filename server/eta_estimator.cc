#include "server/eta_estimator.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace antidiffusion {
namespace {

constexpr double kNewShare = 0.3;  // of the newest measurement in the moving mean

std::string Kind(const std::string& model, const ProtectionOptions& options) {
  return absl::StrCat(model, "\n", static_cast<int>(options.method), " ",
                      static_cast<int>(options.mode), " ", static_cast<int>(options.effort), " ",
                      static_cast<int>(options.report), " ", options.epochs.value_or(-1), " ",
                      options.prompt_steps.value_or(-1), " ", options.pgd_steps.value_or(-1), " ",
                      options.tuning_steps.value_or(-1), " ", options.pgd_draws.value_or(-1), " ",
                      options.jpeg_quality.value_or(-1));
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
