// JobStore on SQLite: the rows in a database at PATH, the images in the folder PATH.files.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/store/job_store.h"

namespace antidiffusion {

// Both are private to the owner and made when they do not exist. UNAVAILABLE: they cannot be
// opened, or another process has the database open; FAILED_PRECONDITION: of a version that is not
// known.
absl::StatusOr<std::unique_ptr<JobStore>> OpenSqliteJobStore(const std::string& path);

using StoreFactory =
    std::function<absl::StatusOr<std::unique_ptr<JobStore>>(const std::string& path)>;

}  // namespace antidiffusion
