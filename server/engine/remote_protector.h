// A model in a worker process, as the rest of the server sees it.
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "antidiffusion/worker/v1/worker.pb.h"
#include "core/api/protector.h"
#include "server/engine/worker_engine.h"

namespace antidiffusion {

class ProtectStream;

// `engine` outlives it. Errors beside the engine's own: UNAVAILABLE with the reason of
// DeviceEngine::health once the worker is lost, which the call itself may find out.
class RemoteProtector : public Protector {
 public:
  RemoteProtector(WorkerEngine& engine, ModelInfo info, const DeviceMemory& memory)
      : engine_(engine), info_(std::move(info)), memory_(memory) {}

  // After an INTERNAL error the device is tested, too: one that fails is lost. So is a worker that
  // could not restore a model's weights, whatever it could still compute.
  absl::StatusOr<ProtectionResult> Protect(const Image& image, const ProtectionOptions& options,
                                           const RunContext& run) override;
  absl::Status SelfTest() override;

  const ModelInfo& model() const override { return info_; }
  DeviceMemory memory() const override { return memory_; }  // as of the last call

 private:
  absl::StatusOr<ProtectionResult> Receive(ProtectStream& stream, const Image& image,
                                           const std::function<void(const Progress&)>& on_progress);
  // Without a word from a worker that works on so many pixels.
  absl::Duration SilenceAllowed(double pixels) const;
  void CountStep(const Progress& progress, double pixels);
  // What a step's time is measured against: a model with a native side works at that, whatever the
  // image's size, so that counts as 1.
  double WorkPixels(const Image& image) const;

  WorkerEngine& engine_;
  const ModelInfo info_;
  DeviceMemory memory_;
  double slowest_a_pixel_ = 0;  // seconds of a step; 0: none was done yet
};

}  // namespace antidiffusion
