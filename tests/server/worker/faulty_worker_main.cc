// antidiffusion-worker-faulty: the real worker, with the faults of ANTIDIFFUSION_FAULTS.
#include "core/api/protector.h"
#include "tests/server/worker/faults.h"

int main(int argc, char** argv) {
  return antidiffusion::RunFaultyWorker(argc, argv, antidiffusion::LoadProtector);
}
