// Names of tenants as labels of metrics, so many and no more.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"

namespace antidiffusion {

// Thread-safe.
class TenantLabels {
 public:
  static constexpr size_t kMaxNames = 50;
  static constexpr char kOther[] = "other";

  // `name` while it is among the first kMaxNames asked for, else "other"; "" (the anonymous tenant)
  // is "default".
  std::string LabelOf(const std::string& name) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  Mutex mutex_;
  std::set<std::string> names_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace antidiffusion
