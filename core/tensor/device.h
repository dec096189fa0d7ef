// Devices, precision, threads, and the only place where c10::Error is caught.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace antidiffusion {

// auto (cuda:0 if there is one, else cpu), cpu, cuda, cuda:N.
// INVALID_ARGUMENT: not a device's name; NOT_FOUND: no such device here.
absl::StatusOr<c10::Device> ParseDevice(const std::string& name);

// auto, fp32, bf16. auto: bf16 on CUDA 8.0+, which computes it natively and faster, else fp32, also
// on every CPU. INVALID_ARGUMENT: another word.
absl::StatusOr<c10::ScalarType> ParsePrecision(const std::string& name, const c10::Device& device);
std::string PrecisionName(c10::ScalarType type);

// What torch's allocator holds of a device, in bytes; all 0 for the CPU, which does not tell.
struct MemoryUse {
  int64_t used = 0;      // by tensors
  int64_t reserved = 0;  // by the allocator, used or kept for reuse
  int64_t total = 0;     // of the device
  int64_t free = 0;      // of the device, by nobody
};
MemoryUse GetMemoryUse(const c10::Device& device);

// Sets torch's thread count (0: the physical cores that this process may use) and flushing of
// denormals. Once at start, before the first operation, on a thread that will run torch.
void ConfigureTorch(int threads);

// Runs `body`; what torch throws becomes a status: RESOURCE_EXHAUSTED with reason DEVICE_MEMORY
// when memory ran out, else INTERNAL with the first line of the message.
absl::Status CatchTorch(const std::function<absl::Status()>& body);

}  // namespace antidiffusion
