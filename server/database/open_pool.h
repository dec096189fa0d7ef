// The database that --job-store names.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/database/sql.h"

namespace antidiffusion {

// `:memory:`, `sqlite:PATH`, `postgresql://...` (also `postgres://`) or `postgresql:KEY=VALUE ...`.
struct JobStoreName {
  enum class Kind { kMemory, kFile, kPostgres };
  Kind kind = Kind::kMemory;
  std::string where;  // path or connection

  bool durable() const { return kind != Kind::kMemory; }
  bool shared() const { return kind == Kind::kPostgres; }  // by several processes
};
// INVALID_ARGUMENT: none of those.
absl::StatusOr<JobStoreName> ParseJobStore(const std::string& text);

// Sessions of that database, where there can be several; `sessions` at most.
using PoolFactory = std::function<absl::StatusOr<std::unique_ptr<SqlPool>>(
    const JobStoreName& store, int sessions)>;
// UNAVAILABLE: it cannot be opened. FAILED_PRECONDITION: a file of an earlier version.
absl::StatusOr<std::unique_ptr<SqlPool>> OpenPool(const JobStoreName& store, int sessions);

}  // namespace antidiffusion
