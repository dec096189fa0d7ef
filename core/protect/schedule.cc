#include "core/protect/schedule.h"

#include <algorithm>
#include <cmath>

#include "core/protect/method_table.h"
#include "core/protect/mode_rules.h"

namespace antidiffusion {
namespace {

constexpr double kPublishedStepLevels = 0.255;  // 2e-3 on [-1,1]
constexpr double kStepRoom = 2.5;
constexpr double kLeastStepShare = 0.3;  // of the budget (docs/evaluation.md)
constexpr double kRounding =
    1e-6;  // levels; a budget of 0.02 * 127.5 is 2.55 whatever the rounding

struct Preset {
  int epochs;
  int prompt_steps;
  int pgd_steps;
  int tuning_steps;
};

Preset PresetOf(Effort effort) {
  switch (effort) {
    case Effort::kDraft:
      return {.epochs = 0, .prompt_steps = 0, .pgd_steps = 10, .tuning_steps = 0};
    case Effort::kStandard:
      return {.epochs = 0, .prompt_steps = 10, .pgd_steps = 30, .tuning_steps = 0};
    case Effort::kStrong:
      return {.epochs = 3, .prompt_steps = 20, .pgd_steps = 20, .tuning_steps = 20};
    case Effort::kPublished:
      break;
  }
  return {.epochs = 5, .prompt_steps = 30, .pgd_steps = 10, .tuning_steps = 20};
}

// Of all efforts but the published one: what was measured to win (docs/evaluation.md).
PgdRefinements RefinementsOf(Effort effort) {
  if (effort == Effort::kPublished) return {};
  return {.momentum = 0.9, .timestep_min = 500};
}

double DefaultStepSize(const ProtectionOptions& options, const Schedule& schedule) {
  const bool shared_budget = RulesOf(options.mode).centre_on_original;
  if (options.effort == Effort::kPublished) {
    return shared_budget ? std::min(kPublishedStepLevels, schedule.budget_levels)
                         : kPublishedStepLevels;
  }
  const int phases = shared_budget ? schedule.epochs + 1 : 1;
  const int steps = std::max(1, phases * schedule.pgd_steps);
  return schedule.budget_levels * std::clamp(kStepRoom / steps, kLeastStepShare, 1.0);
}

}  // namespace

Schedule ResolveSchedule(const ProtectionOptions& options) {
  const Preset preset = PresetOf(options.effort);
  const MethodStages stages = StagesOf(options.method);
  Schedule schedule;
  schedule.epochs = options.epochs.value_or(preset.epochs);
  if (stages.prompt_tuning) {
    schedule.prompt_steps = options.prompt_steps.value_or(preset.prompt_steps);
  }
  if (stages.pgd) schedule.pgd_steps = options.pgd_steps.value_or(preset.pgd_steps);
  if (stages.surrogate_tuning) {
    schedule.tuning_steps = options.tuning_steps.value_or(preset.tuning_steps);
  }
  schedule.budget_levels = options.budget_levels;
  schedule.step_size_levels = options.step_size_levels.value_or(DefaultStepSize(options, schedule));
  schedule.prompt_lr = options.prompt_lr.value_or(1e-3);
  schedule.tuning_lr = options.tuning_lr.value_or(5e-7);
  const PgdRefinements usual = RefinementsOf(options.effort);
  const int first_timestep = options.timestep_max.has_value() ? 0 : usual.timestep_min;
  schedule.refinements = {.draws = options.pgd_draws.value_or(usual.draws),
                          .momentum = options.momentum.value_or(usual.momentum),
                          .timestep_min = options.timestep_min.value_or(first_timestep),
                          .timestep_max = options.timestep_max.value_or(usual.timestep_max),
                          .jpeg_quality = options.jpeg_quality.value_or(usual.jpeg_quality)};
  return schedule;
}

StepCounts CountSteps(const Schedule& schedule, Mode mode) {
  const int phases = schedule.epochs + 1;
  const bool last = RulesOf(mode).last_prompt_tuning || schedule.epochs == 0;
  return {.prompt_tuning = schedule.prompt_steps * (last ? phases : schedule.epochs),
          .pgd = schedule.pgd_steps * phases,
          .surrogate_tuning = schedule.tuning_steps * schedule.epochs};
}

int ProvenBound(const Schedule& schedule, Mode mode) {
  double levels = schedule.budget_levels;
  if (!RulesOf(mode).centre_on_original && schedule.pgd_steps > 0) {
    const int phases = schedule.epochs + 1;
    levels = std::min(phases * schedule.budget_levels,
                      phases * schedule.pgd_steps * schedule.step_size_levels);
  }
  return static_cast<int>(std::min(255.0, std::floor(levels + kRounding)));
}

}  // namespace antidiffusion
