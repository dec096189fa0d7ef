// antidiffusiond but for its main: reads the flags, starts the server, and turns signals into its
// end.
#pragma once

#include "server/store/sqlite_job_store.h"

namespace antidiffusion {

// The whole life of the program; returns its exit code (docs/api.md). `open_store` opens the job
// store of --job-store sqlite:PATH. Blocks signals, so it must come before any thread.
int RunDaemon(int argc, char** argv, const StoreFactory& open_store = OpenSqliteJobStore);

}  // namespace antidiffusion
