// API keys and certificates, taken up again where their files have changed.
#pragma once

#include <functional>

#include "absl/time/time.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/tenants/tenant_directory.h"
#include "server/tls/tls_credentials.h"

namespace antidiffusion {

// One call at a time.
class FileReloads {
 public:
  struct Surroundings {  // all of it outlives the reloads
    TenantDirectory& tenants;
    TlsCredentials* tls;  // null: plain text
    Metrics& metrics;
    const Log& log;
    std::function<void()> on_tenants_changed;
  };

  // Shows in the metrics what has been read already.
  explicit FileReloads(Surroundings surroundings);

  // Each second or so. A file that cannot be taken up leaves the old one in force, and is logged.
  void Run(absl::Time now);

 private:
  void ReloadTenants();
  void ReloadCertificates(absl::Time now);
  void AddTenantSeries();
  void ShowCertificateExpiry();

  const Surroundings with_;
};

}  // namespace antidiffusion
