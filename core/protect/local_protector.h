// A model on this process's device, behind the face that the server sees.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/api/loaded_models.h"
#include "core/api/protector.h"
#include "core/protect/plan.h"
#include "core/protect/stage_context.h"
#include "core/protect/work_grid.h"
#include "core/surrogate/surrogate.h"

namespace antidiffusion {

// See Protector. Its encoder is in `loaded` as long as it lives; `loaded` must outlive it.
class LocalProtector : public Protector {
 public:
  // `free_memory` says how many bytes a job may take of the device.
  LocalProtector(Surrogate model, const std::string& name, LoadedModels& loaded,
                 std::function<int64_t()> free_memory);
  ~LocalProtector() override;

  absl::StatusOr<ProtectionResult> Protect(const Image& image, const ProtectionOptions& options,
                                           const RunContext& run) override;
  absl::Status SelfTest() override;
  const ModelInfo& model() const override { return info_; }
  DeviceMemory memory() const override;

 private:
  using Encoders = std::vector<LatentEncoder*>;

  // Of an image with alpha.
  absl::StatusOr<ProtectionResult> ProtectColours(const Image& image,
                                                  const ProtectionOptions& options,
                                                  const RunContext& run);
  // `alpha`: a sample a pixel, or empty.
  absl::StatusOr<ProtectionResult> ProtectImage(const Image& image,
                                                const std::vector<uint8_t>& alpha,
                                                const ProtectionOptions& options,
                                                const RunContext& run);
  // Those of options.also; each encoder once, also where two models share one. NOT_FOUND.
  absl::StatusOr<Encoders> FindEncoders(const ProtectionOptions& options, const Plan& plan);
  absl::StatusOr<WorkRules> RulesFor(const Plan& plan, const Encoders& others);
  void SetRecompute(bool on, const Encoders& others) const;  // of all networks that take part
  // [1,3,H,W] of the image's size, on the CPU: what the protection adds, before rounding.
  absl::StatusOr<at::Tensor> Difference(const Image& image, const WorkGrid& grid, const Image& room,
                                        const Plan& plan, const Encoders& others,
                                        StageContext& context);
  int64_t UNetPasses() const;

  Surrogate model_;
  ModelInfo info_;
  LoadedModels& loaded_;
  std::function<int64_t()> free_memory_;
  absl::Status lost_;  // not OK once the weights are not what was loaded
};

}  // namespace antidiffusion
