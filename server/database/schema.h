// The tables of the job database, as a list of steps from one version to the next.
#pragma once

#include "absl/status/status.h"
#include "server/database/sql.h"

namespace antidiffusion {

// Brings the database to the newest version that this program knows; an empty one too. Several
// programs may do so at once. A program of the version before can go on using it: steps add tables,
// columns with defaults and indexes, and take nothing away that the version before needs.
// FAILED_PRECONDITION: its version is newer than the next one after ours; UNAVAILABLE; INTERNAL.
absl::Status MigrateJobDatabase(SqlPool& pool);

}  // namespace antidiffusion
