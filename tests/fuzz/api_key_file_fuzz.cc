// The file of tenants and hashed API keys, and who may come in by it.
#include <cmath>
#include <set>
#include <string>

#include "core/base/status_details.h"
#include "server/tenants/key_file.h"
#include "server/tenants/tenant_directory.h"
#include "tests/fuzz/fuzz.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

constexpr char kKey[] = "secret";  // its hash is in a seed
constexpr Right kRights[] = {Right::kProtect, Right::kJobs, Right::kModels};

void CheckError(const absl::Status& status) {
  if (absl::IsDataLoss(status)) return;
  const auto violation = GetFieldViolation(status);
  Require(absl::IsInvalidArgument(status) && violation.has_value() && !violation->field.empty(),
          "an error that names no field");
}

void CheckSpec(const TenantSpec& spec) {
  Require(!spec.name.empty() && spec.name.size() <= 64, "a name out of range");
  Require(!spec.keys.empty() || !spec.identities.empty(), "a tenant that nobody could be");
  Require(spec.weight > 0 && spec.weight <= 100, "a weight out of range");
  Require(!spec.max_running || *spec.max_running >= 1, "a tenant whose jobs never run");
  Require(!spec.max_waiting || *spec.max_waiting >= 1, "a tenant whose jobs never wait");
  Require(!spec.bytes_per_day || *spec.bytes_per_day >= 1, "a tenant that may send nothing");
  if (!spec.rate) return;
  Require(spec.rate->per_second > 0 && std::isfinite(spec.rate->per_second), "a rate out of range");
  Require(spec.rate->burst >= 1 && std::isfinite(spec.rate->burst), "a burst out of range");
}

void CheckSpecs(const std::vector<TenantSpec>& specs) {
  Require(!specs.empty() && specs.size() <= kMaxTenants, "too many tenants, or none");
  std::set<std::string> names;
  std::set<KeyDigest> keys;
  for (const TenantSpec& spec : specs) {
    CheckSpec(spec);
    Require(names.insert(spec.name).second, "a name twice");
    for (const KeyDigest& key : spec.keys) Require(keys.insert(key).second, "a key twice");
  }
}

// Who has the key, by the specs alone.
const TenantSpec* OwnerOf(const std::vector<TenantSpec>& specs, const KeyDigest& key) {
  for (const TenantSpec& spec : specs) {
    for (const KeyDigest& known : spec.keys) {
      if (known == key) return &spec;
    }
  }
  return nullptr;
}

void CheckDirectory(const TenantDirectory& directory, const std::vector<TenantSpec>& specs) {
  Require(directory.Names().size() == specs.size(), "another number of tenants");
  const TenantSpec* const owner = OwnerOf(specs, DigestOfKey(kKey));
  for (const Right right : kRights) {
    Require(absl::IsUnauthenticated(directory.Identify(Credentials(), right).status()),
            "somebody without a key comes in");
    const auto tenant = directory.Identify(Credentials{kKey, {}}, right);
    if (owner == nullptr) {
      Require(absl::IsUnauthenticated(tenant.status()), "an unknown key comes in");
    } else if (owner->rights.contains(right)) {
      Require(tenant.ok() && (*tenant)->name() == owner->name, "a key is another tenant's");
    } else {
      Require(absl::IsPermissionDenied(tenant.status()), "a right that was not given");
    }
  }
}

void Check(const TempDir& folder, const std::string& bytes) {
  const absl::StatusOr<std::vector<TenantSpec>> specs = ParseKeyFile(bytes);
  const std::string path = folder.Write("keys.json", bytes);
  TenantDirectory::Options options;
  options.path = path;
  const auto directory = TenantDirectory::Create(options);
  Require(directory.ok() == specs.ok(), "a file is read in two ways");
  if (!specs.ok()) return CheckError(specs.status());
  CheckSpecs(*specs);
  CheckDirectory(**directory, *specs);
}

}  // namespace
}  // namespace antidiffusion

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const antidiffusion::TempDir folder;
  antidiffusion::Check(folder, std::string(antidiffusion::AsText(data, size)));
  return 0;
}
