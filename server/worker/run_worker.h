// The life of a worker process, whatever its engine.
#pragma once

#include "server/worker/worker_service.h"

namespace antidiffusion {

// For main: serves WorkerService over the socket that the daemon handed down, until the daemon ends
// the process or is gone. Returns an exit code: 2 for a wrong command line.
int RunWorker(int argc, char** argv, LoadFunction load);

}  // namespace antidiffusion
