#include "core/tensor/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/DeviceGuard.h>
#include <c10/util/Exception.h>

#include <exception>
#include <new>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_details.h"
#include "core/tensor/cpu_topology.h"

namespace antidiffusion {
namespace {

// The hooks answer without a line of CUDA's headers: 0 where torch's CUDA half is not linked, or
// the machine has no driver or no GPU.
int CudaDevices() { return at::detail::getCUDAHooks().getNumGPUs(); }

absl::StatusOr<c10::Device> CudaDevice(int64_t index) {
  const int count = CudaDevices();
  if (index >= count) {
    return absl::NotFoundError(
        absl::StrCat("no device cuda:", index, ", there are ", count, " CUDA devices"));
  }
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
}

// Whether bf16 is computed by the device itself, and faster than fp32. No CPU counts: where there
// are instructions for it, autocast's conversions of the weights cost what they gain
// (docs/benchmarks.md).
bool HasFastBf16(const c10::Device& device) {
  if (!device.is_cuda()) return false;
  const c10::DeviceGuard guard(device);
  // Asks the current device for compute capability 8.0.
  return at::detail::getCUDAHooks().supportsBFloat16ConvolutionWithCuDNNv8();
}

absl::Status OutOfMemory(absl::string_view message) {
  return WithReason(absl::ResourceExhaustedError(absl::StrCat("out of device memory: ", message)),
                    {"DEVICE_MEMORY", {}});
}

absl::string_view FirstLine(absl::string_view text) { return text.substr(0, text.find('\n')); }

// Not every allocation is reported by OutOfMemoryError: the CPU's allocator, cuBLAS and cuDNN throw
// a plain c10::Error.
bool SaysOutOfMemory(absl::string_view message) {
  return absl::StrContains(message, "DefaultCPUAllocator: ") ||
         absl::StrContains(message, "out of memory") ||
         absl::StrContains(message, "CUBLAS_STATUS_ALLOC_FAILED") ||
         absl::StrContains(message, "CUDNN_STATUS_ALLOC_FAILED");
}

}  // namespace

absl::StatusOr<c10::Device> ParseDevice(const std::string& name) {
  if (name == "auto") {
    return CudaDevices() > 0 ? c10::Device(c10::kCUDA, 0) : c10::Device(c10::kCPU);
  }
  if (name == "cpu") return c10::Device(c10::kCPU);
  if (name == "cuda") return CudaDevice(0);
  const absl::string_view view = name;
  if (absl::StartsWith(view, "cuda:")) {
    const absl::string_view digits = view.substr(5);
    // SimpleAtoi alone would take "+1" and " 1", too.
    const bool all_digits =
        !digits.empty() && digits.find_first_not_of("0123456789") == absl::string_view::npos;
    int index = 0;
    if (all_digits && absl::SimpleAtoi(digits, &index)) return CudaDevice(index);
  }
  return InvalidField("device", name, "auto, cpu, cuda, cuda:N");
}

absl::StatusOr<c10::ScalarType> ParsePrecision(const std::string& name, const c10::Device& device) {
  if (name == "fp32") return c10::kFloat;
  if (name == "bf16") return c10::kBFloat16;
  if (name == "auto") return HasFastBf16(device) ? c10::kBFloat16 : c10::kFloat;
  return InvalidField("precision", name, "auto, fp32, bf16");
}

std::string PrecisionName(c10::ScalarType type) {
  if (type == c10::kFloat) return "fp32";
  if (type == c10::kBFloat16) return "bf16";
  return c10::toString(type);
}

MemoryUse GetMemoryUse(const c10::Device& device) {
  if (!device.is_cuda()) return {};
  c10::DeviceAllocator* allocator = c10::getDeviceAllocator(device.type());
  MemoryUse use;
  const auto [free, total] = allocator->getMemoryInfo(device.index());
  use.free = static_cast<int64_t>(free);
  use.total = static_cast<int64_t>(total);
  if (!allocator->initialized()) return use;  // nothing was allocated yet
  const auto stats = allocator->getDeviceStats(device.index());
  constexpr auto kAll = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  use.used = stats.allocated_bytes[kAll].current;
  use.reserved = stats.reserved_bytes[kAll].current;
  return use;
}

void ConfigureTorch(int threads) {
  at::set_num_threads(threads > 0 ? threads : UsableCores());
  at::globalContext().setFlushDenormal(true);
}

absl::Status CatchTorch(const std::function<absl::Status()>& body) {
  try {
    return body();
  } catch (const c10::OutOfMemoryError& e) {
    return OutOfMemory(FirstLine(e.what_without_backtrace()));
  } catch (const c10::Error& e) {
    const absl::string_view message = e.what_without_backtrace();
    if (SaysOutOfMemory(message)) return OutOfMemory(FirstLine(message));
    return absl::InternalError(FirstLine(message));
  } catch (const std::bad_alloc&) {
    return OutOfMemory("std::bad_alloc");
  } catch (const std::exception& e) {
    return absl::InternalError(FirstLine(e.what()));
  }
}

}  // namespace antidiffusion
