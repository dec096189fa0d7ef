#include "server/openmp_waiting.h"

#include <unistd.h>

#include <cstdlib>

namespace antidiffusion {

void LetOpenMpSleep(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  if (setenv("OMP_WAIT_POLICY", "passive", /*overwrite=*/1) != 0) return;
  execv("/proc/self/exe", argv);
}

}  // namespace antidiffusion
