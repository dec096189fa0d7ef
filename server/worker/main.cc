// antidiffusion-worker: the engine of one device, in a process that the daemon can replace.
#include "core/api/protector.h"
#include "server/worker/run_worker.h"

int main(int argc, char** argv) {
  return antidiffusion::RunWorker(argc, argv, antidiffusion::LoadProtector);
}
