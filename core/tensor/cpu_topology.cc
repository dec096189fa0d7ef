#include "core/tensor/cpu_topology.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <thread>
#include <utility>

namespace antidiffusion {
namespace {

// The number in a file of sysfs, or -1.
int ReadNumber(const std::string& path) {
  std::ifstream file(path);
  int number = -1;
  return file >> number ? number : -1;
}

std::vector<int> AllowedCpus() {
  std::vector<int> cpus;
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
    }
  }
  if (cpus.empty()) {  // more processors than the set can hold
    for (unsigned cpu = 0; cpu < std::thread::hardware_concurrency(); ++cpu) {
      cpus.push_back(static_cast<int>(cpu));
    }
  }
  return cpus;
}

}  // namespace

int CountCores(const std::vector<int>& cpus, const std::string& root) {
  std::set<std::pair<int, int>> cores;  // package, core
  int unknown = 0;
  for (const int cpu : cpus) {
    const std::string folder =
        root + "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    const int core = ReadNumber(folder + "core_id");
    if (core < 0) {
      ++unknown;
    } else {
      cores.emplace(ReadNumber(folder + "physical_package_id"), core);
    }
  }
  return std::max(1, static_cast<int>(cores.size()) + unknown);
}

int QuotaCores(const std::string& root) {
  std::ifstream file(root + "/sys/fs/cgroup/cpu.max");
  int64_t quota = 0, period = 0;  // microseconds; "max" where there is no quota
  if (!(file >> quota >> period) || quota <= 0 || period <= 0) return 0;
  return static_cast<int>(std::clamp<int64_t>(quota / period, 1, 1 << 16));
}

int UsableCores() {
  const int cores = CountCores(AllowedCpus());
  const int quota = QuotaCores();
  return quota > 0 ? std::min(cores, quota) : cores;
}

}  // namespace antidiffusion
