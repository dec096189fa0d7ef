// How many processor cores this process may keep busy.
#pragma once

#include <string>
#include <vector>

namespace antidiffusion {

// Physical cores among `cpus` (logical numbers), as `root`/sys/devices/system/cpu tells: two
// hyper-threads of a core count once. A processor without that entry counts as a core. At least 1.
int CountCores(const std::vector<int>& cpus, const std::string& root = "");

// The whole processors that the container's CPU quota (`root`/sys/fs/cgroup/cpu.max) allows, at
// least 1; 0 where there is none.
int QuotaCores(const std::string& root = "");

// Physical cores that this process may use: by its affinity and its container's quota.
int UsableCores();

}  // namespace antidiffusion
