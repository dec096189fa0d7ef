#include "server/tenants/tenant_labels.h"

namespace antidiffusion {

std::string TenantLabels::LabelOf(const std::string& name) {
  if (name.empty()) return "default";
  MutexLock lock(mutex_);
  if (names_.contains(name)) return name;
  if (names_.size() >= kMaxNames) return kOther;
  return *names_.insert(name).first;
}

}  // namespace antidiffusion
