#include "core/tensor/random.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>

namespace antidiffusion {
namespace {

at::TensorOptions OnCpu(c10::ScalarType type) {
  return at::TensorOptions().device(at::kCPU).dtype(type);
}

}  // namespace

Random::Random(uint64_t seed) : generator_(at::make_generator<at::CPUGeneratorImpl>(seed)) {}

at::Tensor Random::Normal(at::IntArrayRef shape) {
  return at::randn(shape, generator_, OnCpu(at::kFloat));
}

at::Tensor Random::Timestep(int64_t limit) {
  return at::randint(limit, {1}, generator_, OnCpu(at::kLong));
}

at::Tensor Random::Uniform(at::IntArrayRef shape, double low, double high) {
  return at::empty(shape, OnCpu(at::kFloat)).uniform_(low, high, generator_);
}

}  // namespace antidiffusion
