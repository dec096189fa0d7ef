// The job's random numbers. Always drawn on the CPU generator, so a seed means the same thing on
// every device; same order and shapes as torch.manual_seed + torch.randn/randint in Python.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace antidiffusion {

// Thread-compatible. One for each job.
class Random {
 public:
  explicit Random(uint64_t seed);

  // Standard normal, float32 of `shape`, on the CPU.
  at::Tensor Normal(at::IntArrayRef shape);

  // One int64 in [0, limit), shape [1], on the CPU.
  at::Tensor Timestep(int64_t limit);

  // Uniform in [low, high), float32 of `shape`, on the CPU.
  at::Tensor Uniform(at::IntArrayRef shape, double low, double high);

 private:
  at::Generator generator_;
};

}  // namespace antidiffusion
