// antidiffusiond-faulty: the daemon, with the faults of ANTIDIFFUSION_FAULTS in its job database.
#include <cstdlib>
#include <iostream>

#include "server/daemon.h"
#include "tests/server/store/store_faults.h"

int main(int argc, char** argv) {
  const char* const text = std::getenv("ANTIDIFFUSION_FAULTS");
  const auto faults = antidiffusion::StoreFaults::Parse(text == nullptr ? "" : text);
  if (!faults.ok()) {
    std::cerr << faults.status() << "\n";
    return 1;
  }
  return antidiffusion::RunDaemon(argc, argv, antidiffusion::WithFaults(*faults));
}
