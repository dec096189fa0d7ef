// The file of tenants and hashed API keys. Its format: docs/api.md.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/tenants/tenant.h"

namespace antidiffusion {

inline constexpr int64_t kMaxKeyFileBytes = 4 << 20;
inline constexpr size_t kMaxTenants = 10'000;

// The tenants of a file's bytes, in its order. DATA_LOSS: not JSON; INVALID_ARGUMENT naming the
// field: an unknown field, a wrong type, a value out of range, a name, key or identity that is
// there twice, a tenant that nobody could be. Errors never quote a key.
absl::StatusOr<std::vector<TenantSpec>> ParseKeyFile(const std::string& bytes);

}  // namespace antidiffusion
