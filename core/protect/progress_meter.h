// Turns finished steps into progress reports, and asks before every step whether to go on.
#pragma once

#include <array>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/api/run_context.h"
#include "core/protect/plan.h"

namespace antidiffusion {

enum class Stage { kPromptTuning, kPgd, kSurrogateTuning, kReport };

// prompt_tuning, pgd, surrogate_tuning, report: the names of Progress.stage.
absl::string_view StageName(Stage stage);

// Thread-compatible. One for each job.
class ProgressMeter {
 public:
  // `steps` of the whole job; `report_steps` follow them and count as work, not as optimiser steps.
  ProgressMeter(RunContext run, const StepCounts& steps, int report_steps);

  // Before a step of `stage`, and before each of its parts that can take long; tells that the job
  // is alive. OK, CANCELLED, or DEADLINE_EXCEEDED with stage and remaining seconds as an
  // ErrorReason.
  absl::Status Check(Stage stage) const;

  // After it. The time since the previous step, or since construction, counts as the step's.
  void StepDone(Stage stage, double loss);

  // Seconds by stage name, of the stages that had a step.
  std::map<std::string, double> stage_seconds() const;

 private:
  double EtaSeconds() const;

  RunContext run_;
  int total_steps_;
  double total_work_;
  absl::Time start_;
  absl::Time last_;
  int steps_done_ = 0;
  double work_done_ = 0;
  std::array<double, 4> stage_seconds_{};
  std::array<int, 4> stage_steps_{};
};

}  // namespace antidiffusion
