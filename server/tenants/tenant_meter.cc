#include "server/tenants/tenant_meter.h"

#include <algorithm>

namespace antidiffusion {
namespace {

// A day, and the hour that an entry may be off.
constexpr int64_t kHoursKept = 25;

int64_t HourOf(absl::Time time) { return absl::ToUnixSeconds(time) / 3600; }
absl::Time StartOf(int64_t hour) { return absl::FromUnixSeconds(hour * 3600); }

}  // namespace

std::optional<absl::Duration> TenantMeter::TakeRequest(const RequestRate& rate, absl::Time now) {
  MutexLock lock(mutex_);
  const double earned =
      tokens_.has_value() ? std::max(0.0, absl::ToDoubleSeconds(now - tokens_at_)) * rate.per_second
                          : rate.burst;
  const double tokens = std::min(tokens_.value_or(0) + earned, rate.burst);
  tokens_at_ = now;
  tokens_ = tokens;
  if (tokens < 1) return absl::Seconds((1 - tokens) / rate.per_second);
  tokens_ = tokens - 1;
  return std::nullopt;
}

std::optional<absl::Duration> TenantMeter::TakeBytes(int64_t bytes, int64_t limit, absl::Time now) {
  if (bytes > limit) return absl::InfiniteDuration();
  const int64_t hour = HourOf(now);
  MutexLock lock(mutex_);
  while (!hours_.empty() && hours_.front().hour <= hour - kHoursKept) hours_.pop_front();
  int64_t used = 0;
  for (const Hour& other : hours_) used += other.bytes;
  if (used <= limit - bytes) {
    // A clock that was set back counts to the newest hour.
    if (hours_.empty() || hours_.back().hour < hour) hours_.push_back({hour, 0});
    hours_.back().bytes += bytes;
    return std::nullopt;
  }
  for (const Hour& oldest : hours_) {
    used -= oldest.bytes;
    if (used <= limit - bytes) return StartOf(oldest.hour + kHoursKept) - now;
  }
  return absl::InfiniteDuration();
}

void TenantMeter::ReturnBytes(int64_t bytes) {
  MutexLock lock(mutex_);
  for (auto hour = hours_.rbegin(); hour != hours_.rend() && bytes > 0; ++hour) {
    const int64_t share = std::min(bytes, hour->bytes);
    hour->bytes -= share;
    bytes -= share;
  }
}

}  // namespace antidiffusion
