// antidiffusiond but for its main: reads the flags, starts the server, and turns signals into its
// end.
#pragma once

#include "server/database/open_pool.h"

namespace antidiffusion {

// The whole life of the program; returns its exit code (docs/api.md). `open_pool` opens the
// database of --job-store. Blocks signals, so it must come before any thread.
int RunDaemon(int argc, char** argv, const PoolFactory& open_pool = OpenPool);

}  // namespace antidiffusion
