// A tenant: who it is, what it may do, what it may use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "server/tenants/api_key.h"
#include "server/tenants/tenant_meter.h"

namespace antidiffusion {

// protect: Protect. jobs: CreateJob and everything about jobs. models: ListModels.
enum class Right { kProtect, kJobs, kModels };

// What one tenant may take of the queue and of the workers.
struct TenantShare {
  double weight = 1;  // > 0
  size_t max_running = std::numeric_limits<size_t>::max();
  size_t max_waiting = std::numeric_limits<size_t>::max();  // jobs
  // Of the encoded images of its waiting jobs together; a tenant with none waiting may push one of
  // any size.
  int64_t max_waiting_bytes = std::numeric_limits<int64_t>::max();
};

// As the key file has it.
struct TenantSpec {
  std::string name;  // "" for the only, anonymous one of a server without a key file
  std::vector<KeyDigest> keys;
  std::vector<std::string> identities;  // of client certificates: URI or DNS names, or common name
  std::set<Right> rights = {Right::kProtect, Right::kJobs, Right::kModels};
  double weight = 1;
  std::optional<size_t> max_running;
  std::optional<size_t> max_waiting;
  std::optional<int64_t> max_waiting_bytes;
  std::optional<RequestRate> rate;
  std::optional<int64_t> bytes_per_day;
  std::optional<int64_t> max_job_passes;  // instead of the server's
};

// Immutable but for what it has used. Thread-safe.
class Tenant {
 public:
  // `meter` is shared with the earlier and later versions of this tenant, as the file is reloaded.
  Tenant(TenantSpec spec, const TenantShare& share, std::shared_ptr<TenantMeter> meter)
      : spec_(std::move(spec)), share_(share), meter_(std::move(meter)) {}

  const std::string& name() const { return spec_.name; }
  const TenantSpec& spec() const { return spec_; }
  const TenantShare& share() const { return share_; }
  bool May(Right right) const { return spec_.rights.contains(right); }

  // As TenantMeter's, with this tenant's limits: nullopt means taken.
  std::optional<absl::Duration> TakeRequest(absl::Time now) const {
    return spec_.rate.has_value() ? meter_->TakeRequest(*spec_.rate, now) : std::nullopt;
  }
  std::optional<absl::Duration> TakeBytes(int64_t bytes, absl::Time now) const {
    if (!spec_.bytes_per_day.has_value()) return std::nullopt;
    return meter_->TakeBytes(bytes, *spec_.bytes_per_day, now);
  }
  void ReturnBytes(int64_t bytes) const {
    if (spec_.bytes_per_day.has_value()) meter_->ReturnBytes(bytes);
  }

 private:
  friend class TenantDirectory;

  const TenantSpec spec_;
  const TenantShare share_;
  const std::shared_ptr<TenantMeter> meter_;
};

}  // namespace antidiffusion
