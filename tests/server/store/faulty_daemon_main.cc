// antidiffusiond-faulty: the daemon, with the faults of ANTIDIFFUSION_FAULTS in its job store.
#include <cstdlib>
#include <iostream>
#include <utility>

#include "core/base/status_macros.h"
#include "server/daemon.h"
#include "tests/server/store/store_faults.h"

namespace antidiffusion {
namespace {

absl::StatusOr<std::unique_ptr<JobStore>> OpenWithFaults(const std::string& path) {
  const char* text = std::getenv("ANTIDIFFUSION_FAULTS");
  AD_ASSIGN_OR_RETURN(const StoreFaults faults, StoreFaults::Parse(text == nullptr ? "" : text));
  AD_ASSIGN_OR_RETURN(std::unique_ptr<JobStore> store, OpenSqliteJobStore(path));
  return WithFaults(faults, std::move(store));
}

}  // namespace
}  // namespace antidiffusion

int main(int argc, char** argv) {
  return antidiffusion::RunDaemon(argc, argv, antidiffusion::OpenWithFaults);
}
