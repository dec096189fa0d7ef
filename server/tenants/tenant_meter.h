// What a tenant has used lately of its rate and its bytes.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "absl/time/time.h"
#include "base/mutex.h"

namespace antidiffusion {

// A token bucket: so many requests a second in the long run, so many at once.
struct RequestRate {
  double per_second = 0;  // > 0
  double burst = 1;       // >= 1
};

// Kept in memory only: a server that starts anew starts with full buckets. Limits come with each
// call, so that they may change. Thread-safe.
class TenantMeter {
 public:
  // Takes one request, or nothing and tells how long until there will be one.
  std::optional<absl::Duration> TakeRequest(const RequestRate& rate, absl::Time now)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Takes `bytes` of at most `limit` in any 24 hours, or nothing and tells how long until there
  // will be so many (to the hour; infinite when `bytes` exceed the limit alone).
  std::optional<absl::Duration> TakeBytes(int64_t bytes, int64_t limit, absl::Time now)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // They were not used after all.
  void ReturnBytes(int64_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Hour {
    int64_t hour = 0;  // since 1970
    int64_t bytes = 0;
  };

  Mutex mutex_;
  std::optional<double> tokens_ ABSL_GUARDED_BY(mutex_);  // none: a full bucket
  absl::Time tokens_at_ ABSL_GUARDED_BY(mutex_);
  std::deque<Hour> hours_ ABSL_GUARDED_BY(mutex_);  // of the last day, oldest first
};

}  // namespace antidiffusion
