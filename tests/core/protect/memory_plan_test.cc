#include "core/protect/memory_plan.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "tests/core/protect/golden_model.h"
#include "tests/testing/temp_dir.h"

// jemalloc's function, as this program needs it: 700 bytes are kept and not used.
extern "C" int mallctl(const char* name, void* old_value, size_t* /*old_size*/, void* /*new_value*/,
                       size_t /*new_size*/) {
  const std::map<std::string, size_t> statistics = {
      {"stats.resident", 1000}, {"stats.active", 250}, {"stats.metadata", 50}};
  const auto found = statistics.find(name);
  if (found != statistics.end()) *static_cast<size_t*>(old_value) = found->second;
  return 0;
}

namespace antidiffusion {
namespace {

// A host's files below a folder of its own.
class HostMemoryTest : public testing::Test {
 protected:
  void Write(const std::string& path, const std::string& text) { folder_.Write(path, text); }
  std::string root() const { return folder_.path() + "/"; }

  TempDir folder_;
};

TEST_F(HostMemoryTest, IsWhatTheKernelCallsAvailable) {
  Write("proc/meminfo", "MemTotal:  9000 kB\nMemFree:  1 kB\nMemAvailable:   4000 kB\n");
  EXPECT_EQ(FreeHostMemory(root()), 4000 * 1024);
}

TEST_F(HostMemoryTest, IsAtMostWhatTheControlGroupLeaves) {
  Write("proc/meminfo", "MemAvailable:   4000 kB\n");
  Write("proc/self/cgroup", "0::/outer/inner\n");
  Write("sys/fs/cgroup/outer/inner/memory.max", "max\n");
  Write("sys/fs/cgroup/outer/inner/memory.current", "7\n");
  Write("sys/fs/cgroup/outer/memory.max", "1000000\n");
  Write("sys/fs/cgroup/outer/memory.current", "600000\n");
  Write("sys/fs/cgroup/outer/memory.stat", "anon 5\ninactive_file 100000\nactive_file 9\n");
  EXPECT_EQ(FreeHostMemory(root()), 500000);
}

TEST_F(HostMemoryTest, KnowsTheFirstVersionOfControlGroups) {
  Write("proc/meminfo", "MemAvailable:   4000 kB\n");
  Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "2000000\n");
  Write("sys/fs/cgroup/memory/memory.usage_in_bytes", "1500000\n");
  Write("sys/fs/cgroup/memory/memory.stat", "total_inactive_file 250000\n");
  EXPECT_EQ(FreeHostMemory(root()), 750000);
}

TEST(FreeMemoryTest, WhatTheAllocatorKeepsIsFree) {
  // The host's own figures are whole kilobytes.
  EXPECT_EQ(FreeMemory(c10::kCPU) % 1024, 700);
}

TEST_F(HostMemoryTest, WhatCannotBeReadIsNoLimit) {
  EXPECT_EQ(FreeHostMemory(root()), std::numeric_limits<int64_t>::max());
}

TEST(MemoryPlanTest, RecomputesWhatWouldNotFitOrIsMuch) {
  MemoryPlan memory{.available = 1000, .fixed = 100, .bytes_a_pixel = 10, .recomputed_a_pixel = 2};
  EXPECT_FALSE(memory.Recomputes(90));
  EXPECT_EQ(memory.Needed(90), 1000);
  EXPECT_TRUE(memory.Recomputes(91));
  EXPECT_EQ(memory.Needed(91), 100 + 2 * 91);
  EXPECT_TRUE(memory.Fits(450));
  EXPECT_FALSE(memory.Fits(451));
  memory.first = 950;
  EXPECT_EQ(memory.Needed(91), 950) << "the text encoder, before all else";
  memory.most_kept = 300;
  EXPECT_FALSE(memory.Recomputes(30));
  EXPECT_TRUE(memory.Recomputes(31));
}

TEST(MemoryPlanTest, CountsWhatTheJobNeeds) {
  const Surrogate model = LoadGoldenModel("sd2-base-like");
  const auto plan = [&](const ProtectionOptions& options,
                        const std::vector<LatentEncoder*>& others = {}) {
    return PlanMemory(model, others, PlanFor(model, options), 1000);
  };
  ProtectionOptions options;  // standard: no tuning
  const MemoryPlan standard = plan(options);
  EXPECT_EQ(standard.available, 900);
  EXPECT_EQ(standard.fixed, 0);
  const double encoder = model.encoder->activation_bytes().kept;
  const double unet = model.denoiser->activation_bytes().back().kept;
  EXPECT_DOUBLE_EQ(standard.bytes_a_pixel, encoder + unet);
  EXPECT_LT(standard.recomputed_a_pixel, standard.bytes_a_pixel);
  const Surrogate other = LoadGoldenModel("sd2-base-like");
  EXPECT_DOUBLE_EQ(plan(options, {other.encoder.get()}).bytes_a_pixel, 2 * encoder + unet);
  EXPECT_DOUBLE_EQ(plan(options, {model.encoder.get()}).bytes_a_pixel, encoder + unet)
      << "one pass serves both";

  options.objectives = {{Objective::kAway}};
  EXPECT_DOUBLE_EQ(plan(options).bytes_a_pixel, encoder);
  options.objectives.clear();
  options.method = Method::kNoise;
  EXPECT_DOUBLE_EQ(plan(options).bytes_a_pixel, 0);

  options = {};
  options.effort = Effort::kStrong;
  int64_t weights = 0;
  for (const at::Tensor& weight : model.denoiser->weights().tensors()) weights += weight.nbytes();
  EXPECT_EQ(plan(options).fixed, 4 * weights);
  model.denoiser->weights().BeginMoving();
  EXPECT_EQ(plan(options).fixed, 3 * weights) << "the copy is there already";
}

}  // namespace
}  // namespace antidiffusion
