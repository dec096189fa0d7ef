#include "core/protect/memory_plan.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "core/tensor/device.h"

// jemalloc's, where the program is linked with it.
extern "C" int mallctl(const char* name, void* old_value, size_t* old_size, void* new_value,
                       size_t new_size) __attribute__((weak));

namespace antidiffusion {
namespace {

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();
constexpr double kUsableShare = 0.9;
constexpr int64_t kMostKeptOnHost = 2'000'000'000;
constexpr int kGradientAndMoments = 3;

// The first number of the line that begins with `key`, or `otherwise`.
int64_t NumberAfter(const std::string& path, absl::string_view key, int64_t otherwise) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    absl::string_view rest = line;
    if (!absl::ConsumePrefix(&rest, key)) continue;
    std::istringstream words{std::string(rest)};
    int64_t number = 0;
    if (words >> number) return number;
  }
  return otherwise;
}

// What the group in `folder` leaves of its limit. A limit of "max", or none, is none.
int64_t LeftOfGroup(const std::string& folder, const std::string& limit_file,
                    const std::string& usage_file, absl::string_view reclaimable_key) {
  const int64_t limit = NumberAfter(folder + limit_file, "", kNoLimit);
  const int64_t usage = NumberAfter(folder + usage_file, "", -1);
  if (limit == kNoLimit || usage < 0) return kNoLimit;
  const int64_t files = NumberAfter(folder + "memory.stat", reclaimable_key, 0);
  return std::max<int64_t>(0, limit - std::max<int64_t>(0, usage - files));
}

// Of this process's group and all groups above it, as far as they can be seen.
int64_t LeftOfGroups(const std::string& root) {
  const std::string mount = root + "sys/fs/cgroup";
  int64_t left = LeftOfGroup(mount + "/memory/", "memory.limit_in_bytes", "memory.usage_in_bytes",
                             "total_inactive_file ");
  std::string group;
  std::ifstream file(root + "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (absl::StartsWith(line, "0::/")) group = line.substr(3);
  }
  while (true) {
    left = std::min(
        left, LeftOfGroup(mount + group + "/", "memory.max", "memory.current", "inactive_file "));
    if (group.empty()) return left;
    group.resize(group.find_last_of('/'));
  }
}

int64_t SaturatingAdd(int64_t a, int64_t b) { return a > kNoLimit - b ? kNoLimit : a + b; }

int64_t AllocatorStatistic(const char* name) {
  size_t value = 0;
  size_t size = sizeof(value);
  return mallctl(name, &value, &size, nullptr, 0) == 0 ? static_cast<int64_t>(value) : 0;
}

// Memory that the last job left, which jemalloc keeps for the next one for some seconds.
int64_t KeptByAllocator() {
  if (mallctl == nullptr) return 0;
  uint64_t epoch = 1;
  mallctl("epoch", nullptr, nullptr, &epoch, sizeof(epoch));  // takes the statistics anew
  return std::max<int64_t>(0, AllocatorStatistic("stats.resident") -
                                  AllocatorStatistic("stats.active") -
                                  AllocatorStatistic("stats.metadata"));
}

int64_t BytesOf(const std::vector<at::Tensor>& tensors) {
  int64_t bytes = 0;
  for (const at::Tensor& tensor : tensors) bytes += static_cast<int64_t>(tensor.nbytes());
  return bytes;
}

}  // namespace

MemoryPlan PlanMemory(const Surrogate& model, const std::vector<LatentEncoder*>& others,
                      const Plan& plan, int64_t free) {
  MemoryPlan memory;
  if (model.device.is_cpu()) memory.most_kept = kMostKeptOnHost;
  memory.available = static_cast<int64_t>(kUsableShare * static_cast<double>(free));
  if (plan.uniform_noise) return memory;
  const ObjectiveWeights& raised = plan.raised;
  std::vector<ActivationBytes> passes;
  if (raised.NeedUNet() || plan.compares_own_encoder) {
    passes.push_back(model.encoder->activation_bytes());
  }
  if (raised.denoising > 0 || raised.image_guidance > 0 || plan.prompt_tuning.steps > 0 ||
      plan.tunes_surrogate()) {
    for (const ActivationBytes& pass : model.denoiser->activation_bytes()) passes.push_back(pass);
    if (raised.image_guidance > 0) passes.push_back(passes.back());  // without the photograph
  }
  for (const LatentEncoder* encoder : others) {
    const bool is_counted = encoder == model.encoder.get() && raised.NeedUNet();
    if (!is_counted) passes.push_back(encoder->activation_bytes());
  }
  if (raised.NeedUNet()) memory.first = model.denoiser->text_bytes();
  memory.bytes_a_pixel = PeakBytes(passes, /*recompute=*/false);
  memory.recomputed_a_pixel = PeakBytes(passes, /*recompute=*/true);
  if (plan.tunes_surrogate()) {
    TrainableWeights& weights = model.denoiser->weights();
    const int copies = kGradientAndMoments + (weights.has_copy() ? 0 : 1);
    memory.fixed = copies * BytesOf(weights.tensors());
  }
  return memory;
}

int64_t FreeMemory(const c10::Device& device) {
  if (device.is_cpu()) return SaturatingAdd(FreeHostMemory(), KeptByAllocator());
  const MemoryUse use = GetMemoryUse(device);
  return use.free + use.reserved - use.used;
}

int64_t FreeHostMemory(const std::string& root) {
  constexpr int64_t kKilobyte = 1024;
  const int64_t kilobytes = NumberAfter(root + "proc/meminfo", "MemAvailable:", -1);
  return std::min(kilobytes < 0 ? kNoLimit : kKilobyte * kilobytes, LeftOfGroups(root));
}

}  // namespace antidiffusion
