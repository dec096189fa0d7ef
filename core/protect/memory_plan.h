// What a job takes of its device's memory, and what there is: large pictures are worked on in
// pieces that fit.
#pragma once

#include <c10/core/Device.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "core/protect/plan.h"
#include "core/surrogate/surrogate.h"

namespace antidiffusion {

// In bytes. The defaults are those of a job without limit.
struct MemoryPlan {
  int64_t available = std::numeric_limits<int64_t>::max();
  int64_t most_kept = std::numeric_limits<int64_t>::max();  // of what a size may take
  int64_t fixed = 0;                                        // whatever the picture's size
  int64_t first = 0;                                        // before all else, and then free again
  double bytes_a_pixel = 0;       // of the picture as it is worked on, at the peak
  double recomputed_a_pixel = 0;  // the same with recomputing

  // Whether pictures of this size are worked on with recomputing: where keeping everything would
  // not fit, or would take more than `most_kept`.
  bool Recomputes(int64_t pixels) const {
    const double kept = bytes_a_pixel * static_cast<double>(pixels);
    return kept > static_cast<double>(most_kept) ||
           kept > static_cast<double>(available) - static_cast<double>(fixed);
  }
  int64_t Needed(int64_t pixels) const {
    const double a_pixel = Recomputes(pixels) ? recomputed_a_pixel : bytes_a_pixel;
    return std::max(first, fixed + static_cast<int64_t>(a_pixel * static_cast<double>(pixels)));
  }
  bool Fits(int64_t pixels) const { return Needed(pixels) <= available; }
};

// Estimated from the models' architectures (core/surrogate/activation_memory.h): in PGD, what the
// UNet and every encoder that takes part keep for the gradient; with surrogate tuning also the
// weights' gradients, the optimiser's two moments and, where there is none yet, the pristine copy;
// before that, the text encoder.
// On the host, which other programs share, at most 2 GB are kept where recomputing could save them.
// `free`: bytes, as FreeMemory says; nine tenths of it count as available.
MemoryPlan PlanMemory(const Surrogate& model, const std::vector<LatentEncoder*>& others,
                      const Plan& plan, int64_t free);

// Bytes that a job may still take: what nobody uses, with what this process keeps for later and
// does not use (of a GPU torch's allocator, of the host jemalloc where it is linked).
int64_t FreeMemory(const c10::Device& device);

// MemAvailable of `root`proc/meminfo, or what the control groups of this process (version 2, and
// version 1 where that is mounted) leave of their limits, if that is less; files that a group could
// give back count as free. What cannot be read is no limit. `root` ends in a slash.
int64_t FreeHostMemory(const std::string& root = "/");

}  // namespace antidiffusion
