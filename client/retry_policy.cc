#include "client/retry_policy.h"

#include <algorithm>
#include <utility>

namespace antidiffusion {

RetryPolicy::RetryPolicy(const RetryOptions& options, std::function<double()> random)
    : options_(options), random_(std::move(random)), backoff_(options.initial_backoff) {}

std::optional<absl::Duration> RetryPolicy::NextDelay(const CallError& error) {
  ++attempts_;
  if (IsUnreachable(error.status)) ++connect_attempts_;
  const bool transient = absl::IsUnavailable(error.status) ||
                         (absl::IsResourceExhausted(error.status) && error.retry_after.has_value());
  if (!transient || error.retry_forbidden || attempts_ >= options_.max_attempts ||
      connect_attempts_ >= options_.max_connect_attempts) {
    return std::nullopt;
  }
  const absl::Duration backoff = backoff_ * (1 + options_.jitter * (2 * random_() - 1));
  backoff_ = std::min(backoff_ * options_.multiplier, options_.max_backoff);
  if (!error.retry_after.has_value()) return backoff;
  if (*error.retry_after > options_.max_server_delay) return std::nullopt;
  return *error.retry_after + *error.retry_after * (options_.jitter * random_());
}

}  // namespace antidiffusion
