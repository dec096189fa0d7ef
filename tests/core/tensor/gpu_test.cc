// What only a GPU shows; skipped without one.
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/ops/empty.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/tensor/device.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

bool HasGpu() { return at::detail::getCUDAHooks().getNumGPUs() > 0; }

TEST(GpuTest, AutoAndCudaAreTheFirstGpu) {
  if (!HasGpu()) GTEST_SKIP() << "no CUDA device here";
  for (const char* name : {"auto", "cuda", "cuda:0"}) {
    AD_ASSERT_OK_AND_ASSIGN(const c10::Device device, ParseDevice(name));
    EXPECT_EQ(device, c10::Device(c10::kCUDA, 0)) << name;
  }
}

TEST(GpuTest, MemoryUseCountsTensors) {
  if (!HasGpu()) GTEST_SKIP() << "no CUDA device here";
  const c10::Device device(c10::kCUDA, 0);
  const at::Tensor tensor = at::empty({1 << 20}, at::TensorOptions().device(device));
  const MemoryUse use = GetMemoryUse(device);
  EXPECT_GE(use.used, 4 << 20);
  EXPECT_GE(use.reserved, use.used);
  EXPECT_GT(use.total, use.reserved);
}

}  // namespace
}  // namespace antidiffusion
