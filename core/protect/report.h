// Measures what a protection did and what simple processing leaves of it, on fixed probes.
#pragma once

#include "absl/status/statusor.h"
#include "core/api/protector.h"
#include "core/image/image.h"
#include "core/protect/progress_meter.h"
#include "core/protect/work_grid.h"
#include "core/surrogate/surrogate.h"

namespace antidiffusion {

// Progress steps that MakeFullReport takes.
inline constexpr int kReportSteps = 5;

// Every probe: the posterior's mean of the image at its work size, the empty prompt, eight
// timesteps spread over the schedule, and noises whose seed is a constant, so that values compare
// between jobs. Of an image in several pieces the middle one is measured. The model must have a
// UNet and be as loaded. CANCELLED, DEADLINE_EXCEEDED: asked before every pass.
absl::StatusOr<FullReport> MakeFullReport(const Surrogate& model, const Image& before,
                                          const Image& after, const WorkGrid& grid,
                                          ProgressMeter& progress);

}  // namespace antidiffusion
