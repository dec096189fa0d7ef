#include "core/protect/progress_meter.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_details.h"

namespace antidiffusion {
namespace {

// Expected cost of a step in UNet forward passes: prompt tuning is a forward and a backward without
// weight gradients; PGD adds the VAE's encoder, forward and backward; tuning adds weight gradients
// and the optimiser; a report step is eight forward passes and an encode.
double StepWork(Stage stage) {
  switch (stage) {
    case Stage::kPromptTuning:
      return 2.0;
    case Stage::kPgd:
      return 5.0;
    case Stage::kSurrogateTuning:
      return 3.0;
    case Stage::kReport:
      break;
  }
  return 9.5;
}

size_t Index(Stage stage) { return static_cast<size_t>(stage); }

constexpr std::array<Stage, 4> kStages = {Stage::kPromptTuning, Stage::kPgd,
                                          Stage::kSurrogateTuning, Stage::kReport};

}  // namespace

absl::string_view StageName(Stage stage) {
  switch (stage) {
    case Stage::kPromptTuning:
      return "prompt_tuning";
    case Stage::kPgd:
      return "pgd";
    case Stage::kSurrogateTuning:
      return "surrogate_tuning";
    case Stage::kReport:
      break;
  }
  return "report";
}

ProgressMeter::ProgressMeter(RunContext run, const StepCounts& steps, int report_steps)
    : run_(std::move(run)),
      total_steps_(steps.total()),
      total_work_(steps.prompt_tuning * StepWork(Stage::kPromptTuning) +
                  steps.pgd * StepWork(Stage::kPgd) +
                  steps.surrogate_tuning * StepWork(Stage::kSurrogateTuning) +
                  report_steps * StepWork(Stage::kReport)),
      start_(run_.now()),
      last_(start_) {}

absl::Status ProgressMeter::Check(Stage stage) const {
  if (run_.on_alive) run_.on_alive();
  absl::Status status = run_.Check();
  if (!absl::IsDeadlineExceeded(status)) return status;
  return WithReason(status, {.reason = "DEADLINE_EXCEEDED",
                             .metadata = {{"stage", std::string(StageName(stage))},
                                          {"step", absl::StrCat(steps_done_)},
                                          {"total", absl::StrCat(total_steps_)},
                                          {"eta_seconds", absl::StrCat(EtaSeconds())}}});
}

void ProgressMeter::StepDone(Stage stage, double loss) {
  const absl::Time now = run_.now();
  const double seconds = absl::ToDoubleSeconds(now - last_);
  last_ = now;
  stage_seconds_[Index(stage)] += seconds;
  ++stage_steps_[Index(stage)];
  work_done_ += StepWork(stage);
  if (stage != Stage::kReport) ++steps_done_;
  if (!run_.on_progress) return;
  run_.on_progress({.stage = std::string(StageName(stage)),
                    .step = steps_done_,
                    .total = total_steps_,
                    .fraction = std::min(1.0, work_done_ / total_work_),
                    .loss = loss,
                    .eta_seconds = EtaSeconds(),
                    .step_seconds = seconds});
}

double ProgressMeter::EtaSeconds() const {
  if (work_done_ <= 0) return 0;
  const double elapsed = absl::ToDoubleSeconds(last_ - start_);
  return elapsed * std::max(0.0, total_work_ - work_done_) / work_done_;
}

std::map<std::string, double> ProgressMeter::stage_seconds() const {
  std::map<std::string, double> seconds;
  for (const Stage stage : kStages) {
    if (stage_steps_[Index(stage)] == 0) continue;
    seconds[std::string(StageName(stage))] = stage_seconds_[Index(stage)];
  }
  return seconds;
}

}  // namespace antidiffusion
