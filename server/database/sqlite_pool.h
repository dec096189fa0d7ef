// SQLite behind SqlPool: one session, for the one process that has the database.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/database/sql.h"

namespace antidiffusion {

// `path`: a file, made for its owner alone where there is none, or ":memory:". UNAVAILABLE: it
// cannot be opened, or another process has it. FAILED_PRECONDITION: it is an earlier version's.
absl::StatusOr<std::unique_ptr<SqlPool>> OpenSqlitePool(const std::string& path);

}  // namespace antidiffusion
