#include "core/tensor/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <c10/util/Exception.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <new>
#include <stdexcept>
#include <string>

#include "core/tensor/cpu_topology.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

int CudaDevices() { return at::detail::getCUDAHooks().getNumGPUs(); }

TEST(ParseDeviceTest, Cpu) {
  AD_ASSERT_OK_AND_ASSIGN(const c10::Device device, ParseDevice("cpu"));
  EXPECT_TRUE(device.is_cpu());
}

TEST(ParseDeviceTest, AutoTakesTheFirstGpuOrTheCpu) {
  AD_ASSERT_OK_AND_ASSIGN(const c10::Device device, ParseDevice("auto"));
  EXPECT_EQ(device, CudaDevices() > 0 ? c10::Device(c10::kCUDA, 0) : c10::Device(c10::kCPU));
}

TEST(ParseDeviceTest, RefusesOtherWords) {
  for (const char* name : {"", "gpu", "CPU", "cuda:", "cuda:x", "cuda:-1", "cuda:+1", "cuda: 1",
                           "cuda:1x", "cuda:99999999999", "cpu:0", "meta"}) {
    EXPECT_THAT(ParseDevice(name), ViolatesField("device")) << name;
  }
}

TEST(ParseDeviceTest, AGpuThatIsNotThereIsNotFound) {
  const std::string next = "cuda:" + std::to_string(CudaDevices());
  EXPECT_THAT(ParseDevice(next), StatusIs(absl::StatusCode::kNotFound, next));
  EXPECT_THAT(ParseDevice("cuda:1000"), StatusIs(absl::StatusCode::kNotFound));
  if (CudaDevices() == 0) {
    EXPECT_THAT(ParseDevice("cuda"), StatusIs(absl::StatusCode::kNotFound));
  }
}

TEST(ParsePrecisionTest, WordsAndNames) {
  EXPECT_EQ(*ParsePrecision("fp32", c10::kCPU), c10::kFloat);
  EXPECT_EQ(*ParsePrecision("bf16", c10::kCPU), c10::kBFloat16);
  EXPECT_EQ(PrecisionName(c10::kFloat), "fp32");
  EXPECT_EQ(PrecisionName(c10::kBFloat16), "bf16");
  for (const char* name : {"", "fp16", "FP32", "float32"}) {
    EXPECT_THAT(ParsePrecision(name, c10::kCPU), ViolatesField("precision"));
  }
}

// Also where the processor has instructions for bf16: docs/benchmarks.md shows no gain.
TEST(ParsePrecisionTest, AutoIsFp32OnEveryCpu) {
  EXPECT_EQ(*ParsePrecision("auto", c10::kCPU), c10::kFloat);
}

TEST(ConfigureTorchTest, SetsThreadsAndFlushesDenormals) {
  ConfigureTorch(1);
  EXPECT_EQ(at::get_num_threads(), 1);
  ConfigureTorch(0);
  EXPECT_EQ(at::get_num_threads(), UsableCores());
  ConfigureTorch(1);
  const at::Tensor denormal = at::empty({1}).fill_(1e-30F);
  EXPECT_EQ(denormal.mul(1e-10F).item<float>(), 0.0F);
}

TEST(GetMemoryUseTest, TheCpuDoesNotTell) {
  const MemoryUse use = GetMemoryUse(c10::kCPU);
  EXPECT_EQ(use.used, 0);
  EXPECT_EQ(use.reserved, 0);
  EXPECT_EQ(use.total, 0);
}

TEST(CatchTorchTest, PassesStatusesOn) {
  EXPECT_THAT(CatchTorch([] { return absl::OkStatus(); }), IsOk());
  EXPECT_THAT(CatchTorch([] { return absl::CancelledError("stop"); }),
              StatusIs(absl::StatusCode::kCancelled, "stop"));
}

TEST(CatchTorchTest, AnErrorOfTorchIsInternalWithItsFirstLine) {
  const absl::Status status = CatchTorch([] {
    at::matmul(at::empty({2, 3}), at::empty({2, 3}));
    return absl::OkStatus();
  });
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInternal, "2x3"));
  EXPECT_EQ(status.message().find('\n'), absl::string_view::npos);
  EXPECT_FALSE(GetErrorReason(status).has_value());
}

TEST(CatchTorchTest, RealExhaustionOfTheCpusMemory) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer ends the program at an impossible allocation";
#endif
  // 2^60 floats: more than any address space.
  const absl::Status status = CatchTorch([] {
    at::empty({int64_t{1} << 40, int64_t{1} << 20});
    return absl::OkStatus();
  });
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(status, HasReason("DEVICE_MEMORY"));
}

TEST(CatchTorchTest, EveryKindOfExhaustionHasItsReason) {
  const auto thrown = [](auto error) { return CatchTorch([&]() -> absl::Status { throw error; }); };
  const c10::SourceLocation here{__func__, __FILE__, __LINE__};
  for (const absl::Status& status :
       {thrown(c10::OutOfMemoryError(here, "CUDA out of memory. Tried to allocate 2 GiB\nmore")),
        thrown(c10::Error(here, "CUDA error: out of memory\nmore")),
        thrown(
            c10::Error(here, "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate")),
        thrown(std::bad_alloc())}) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, "out of device memory"));
    EXPECT_THAT(status, HasReason("DEVICE_MEMORY"));
    EXPECT_EQ(status.message().find('\n'), absl::string_view::npos);
  }
  EXPECT_THAT(thrown(std::runtime_error("other\nmore")),
              StatusIs(absl::StatusCode::kInternal, "other"));
}

}  // namespace
}  // namespace antidiffusion
