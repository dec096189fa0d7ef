#include "core/tensor/cpu_topology.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

void AddCpu(const TempDir& root, int cpu, int package, int core) {
  const std::string folder = "sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
  root.Write(folder + "physical_package_id", std::to_string(package) + "\n");
  root.Write(folder + "core_id", std::to_string(core) + "\n");
}

TEST(CountCoresTest, HyperThreadsOfACoreCountOnce) {
  TempDir root;
  // Two packages of two cores of two threads; core numbers repeat in each package.
  for (int cpu = 0; cpu < 8; ++cpu) AddCpu(root, cpu, cpu % 4 / 2, cpu % 2);
  EXPECT_EQ(CountCores({0, 1, 2, 3, 4, 5, 6, 7}, root.path()), 4);
  EXPECT_EQ(CountCores({0, 4}, root.path()), 1);
  EXPECT_EQ(CountCores({0, 2}, root.path()), 2);
}

TEST(CountCoresTest, AnUnknownProcessorIsACore) {
  TempDir root;
  AddCpu(root, 0, 0, 0);
  EXPECT_EQ(CountCores({0, 1, 2}, root.path()), 3);
  EXPECT_EQ(CountCores({}, root.path()), 1);
}

TEST(QuotaCoresTest, ReadsTheContainersQuota) {
  TempDir root;
  EXPECT_EQ(QuotaCores(root.path()), 0);
  root.Write("sys/fs/cgroup/cpu.max", "max 100000\n");
  EXPECT_EQ(QuotaCores(root.path()), 0);
  root.Write("sys/fs/cgroup/cpu.max", "350000 100000\n");
  EXPECT_EQ(QuotaCores(root.path()), 3);
  root.Write("sys/fs/cgroup/cpu.max", "50000 100000\n");
  EXPECT_EQ(QuotaCores(root.path()), 1);
  root.Write("sys/fs/cgroup/cpu.max", "nonsense");
  EXPECT_EQ(QuotaCores(root.path()), 0);
}

TEST(UsableCoresTest, IsAtLeastOne) { EXPECT_GE(UsableCores(), 1); }

}  // namespace
}  // namespace antidiffusion
