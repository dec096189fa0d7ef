// What computes on one device, and may have to be replaced. Free of torch and of processes.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/api/protector.h"

namespace antidiffusion {

// Thread-compatible but for `health`, which any thread may ask at any time.
class DeviceEngine {
 public:
  virtual ~DeviceEngine() = default;

  // As LoadProtector. Once health() is not OK this and every call of the protectors fail.
  // The engine outlives the protectors. `stop` may be asked to end the loading, and the engine
  // with it.
  virtual absl::StatusOr<std::unique_ptr<Protector>> Load(const LoadOptions& options,
                                                          std::stop_token stop) = 0;

  // OK, or why the engine has to be replaced, for good. The reason (core/base/status_details.h):
  // WORKER_DIED, WORKER_HUNG, DEVICE_FAULT, WEIGHTS_NOT_RESTORED.
  virtual absl::Status health() const = 0;
};

// Starts the engine of a device (as in LoadOptions). `on_failure` is called, on any thread and
// without a lock of the engine, when health() turns bad while nobody uses the engine; never after
// the engine is gone. An error: it could not be started; another try may do.
using EngineFactory = std::function<absl::StatusOr<std::unique_ptr<DeviceEngine>>(
    const std::string& device, std::function<void()> on_failure)>;

}  // namespace antidiffusion
