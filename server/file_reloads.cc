#include "server/file_reloads.h"

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "server/errors.h"

namespace antidiffusion {

FileReloads::FileReloads(Surroundings surroundings) : with_(std::move(surroundings)) {
  AddTenantSeries();
  ShowCertificateExpiry();
}

void FileReloads::Run(absl::Time now) {
  ReloadTenants();
  ReloadCertificates(now);
}

void FileReloads::ReloadTenants() {
  const absl::StatusOr<bool> reloaded = with_.tenants.ReloadIfChanged();
  if (!reloaded.ok()) {
    with_.log.Error("API key file not taken up, the old keys stay in force",
                    {{"error", TextOf(reloaded.status())}});
  } else if (*reloaded) {
    AddTenantSeries();
    with_.on_tenants_changed();
    with_.log.Info("API key file taken up",
                   {{"tenants", static_cast<int64_t>(with_.tenants.Names().size())}});
  }
}

void FileReloads::ReloadCertificates(absl::Time now) {
  if (with_.tls == nullptr) return;
  const absl::StatusOr<bool> reloaded = with_.tls->ReloadIfChanged(now);
  if (!reloaded.ok()) {
    with_.log.Error("certificates not taken up, the old ones stay in force",
                    {{"error", TextOf(reloaded.status())}});
  } else if (*reloaded) {
    ShowCertificateExpiry();
    with_.log.Info("certificates taken up", {{"expiry", absl::FormatTime(with_.tls->expiry())}});
  }
}

void FileReloads::AddTenantSeries() {
  for (const std::string& name : with_.tenants.Names()) with_.metrics.AddTenant(name);
}

void FileReloads::ShowCertificateExpiry() {
  if (with_.tls != nullptr) with_.metrics.SetCertificateExpiry(with_.tls->expiry());
}

}  // namespace antidiffusion
