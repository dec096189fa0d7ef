#include "core/protect/plan.h"

#include <algorithm>
#include <cmath>

#include "core/api/method_table.h"
#include "core/protect/released_script.h"

namespace antidiffusion {
namespace {

constexpr double kUnseen = 0.6;                 // chroma_bias
constexpr double kLevelsPerUnit = 127.5;        // of an 8-bit channel, on [-1,1]
constexpr double kPublishedStepLevels = 0.255;  // 2e-3 on [-1,1]
constexpr double kStepRoom = 2.5;
constexpr double kLeastStepShare = 0.3;  // of the budget (docs/evaluation.md)
constexpr double kMeasuredMomentum = 0.9;
constexpr int kMeasuredFirstTimestep = 500;
// Levels; a budget of 0.02 * 127.5 is 2.55 whatever the rounding.
constexpr double kRounding = 1e-6;

struct EffortSteps {
  int epochs, prompt, pgd, tuning;
};

EffortSteps StepsOf(Effort effort) {
  switch (effort) {
    case Effort::kDraft:
      return {.epochs = 0, .prompt = 0, .pgd = 10, .tuning = 0};
    case Effort::kStandard:
      return {.epochs = 0, .prompt = 10, .pgd = 30, .tuning = 0};
    case Effort::kStrong:
      return {.epochs = 3, .prompt = 20, .pgd = 20, .tuning = 20};
    case Effort::kPublished:
      break;
  }
  return {.epochs = 5, .prompt = 30, .pgd = 10, .tuning = 20};
}

double& WeightOf(Objective objective, ObjectiveWeights& weights) {
  switch (objective) {
    case Objective::kDenoising:
      return weights.denoising;
    case Objective::kScoreDistillation:
      return weights.score_distillation;
    case Objective::kSemantic:
      return weights.semantic;
    case Objective::kImageGuidance:
      return weights.image_guidance;
    case Objective::kAway:
      return weights.away;
    case Objective::kNorm:
      return weights.norm;
    case Objective::kTarget:
      break;
  }
  return weights.target;
}

void ResolveObjectives(const ProtectionOptions& options, const ModelInfo& model, Plan& plan) {
  for (const ObjectiveTerm& term : ObjectivesOf(options)) {
    WeightOf(term.objective, plan.raised) = term.weight;
  }
  const ExperimentalOptions& experimental = options.experimental;
  if (experimental.semantic_layers == SemanticLayers::kQuarter && !model.has_semantic_layers) {
    plan.raised.semantic = 0;
  }
  plan.compares_own_encoder =
      plan.raised.CompareLatents() && (options.also.empty() || !plan.raised.NeedUNet());
  plan.semantic.layers = experimental.semantic_layers;
  plan.semantic.mean_heads = experimental.semantic_heads == SemanticHeads::kMean;
}

void ResolveStages(const ProtectionOptions& options, Plan& plan) {
  const EffortSteps usual = StepsOf(options.effort);
  const MethodPreset method = PresetOf(options.method);
  const bool needs_unet = plan.raised.NeedUNet();
  plan.epochs = options.epochs.value_or(usual.epochs);
  if (method.prompt_tuning && needs_unet) {
    plan.prompt_tuning.steps = options.prompt_steps.value_or(usual.prompt);
  }
  if (!plan.uniform_noise) plan.pgd.steps = options.pgd_steps.value_or(usual.pgd);
  if (method.surrogate_tuning && needs_unet) {
    plan.surrogate_tuning.steps = options.tuning_steps.value_or(usual.tuning);
  }
  plan.prompt_tuning.learning_rate = options.prompt_lr.value_or(plan.prompt_tuning.learning_rate);
  plan.surrogate_tuning.learning_rate =
      options.tuning_lr.value_or(plan.surrogate_tuning.learning_rate);
}

void ResolveRefinements(const ProtectionOptions& options, Plan& plan) {
  const bool measured = options.effort != Effort::kPublished;
  const bool from_first = !measured || options.timestep_max.has_value();
  PgdPlan& pgd = plan.pgd;
  // Without a term that needs the UNet nothing is drawn: further draws would be the first again.
  if (plan.raised.NeedUNet()) pgd.draws = options.pgd_draws.value_or(pgd.draws);
  pgd.momentum = options.momentum.value_or(measured ? kMeasuredMomentum : 0);
  pgd.timestep_min = options.timestep_min.value_or(from_first ? 0 : kMeasuredFirstTimestep);
  pgd.timestep_max = options.timestep_max.value_or(pgd.timestep_max);
  pgd.jpeg_quality = options.jpeg_quality.value_or(pgd.jpeg_quality);
  pgd.random_start = options.random_start.value_or(plan.raised.away > 0);
  pgd.frequency_power = options.experimental.frequency_power.value_or(pgd.frequency_power);
}

double StepSizeLevels(const ProtectionOptions& options, const Plan& plan) {
  if (options.step_size_levels) return *options.step_size_levels;
  const bool one_budget = plan.pgd.centre_on_original;
  if (options.effort == Effort::kPublished) {
    return one_budget ? std::min(kPublishedStepLevels, options.budget_levels)
                      : kPublishedStepLevels;
  }
  const int steps = std::max(1, (one_budget ? plan.epochs + 1 : 1) * plan.pgd.steps);
  return options.budget_levels * std::clamp(kStepRoom / steps, kLeastStepShare, 1.0);
}

int Bound(const Plan& plan, double budget_levels, double step_levels) {
  double levels = budget_levels;
  if (!plan.pgd.centre_on_original && plan.pgd.steps > 0) {
    const double a_block = std::min(budget_levels, plan.pgd.steps * step_levels);
    levels = (plan.pgd.random_start ? budget_levels : a_block) + plan.epochs * a_block;
  }
  return static_cast<int>(std::min(255.0, std::floor(levels + kRounding)));
}

}  // namespace

Plan MakePlan(const ProtectionOptions& options, const ModelInfo& model, bool grey) {
  Plan plan;
  plan.prompt = options.prompt;
  plan.grey = grey;
  plan.uniform_noise = ObjectivesOf(options).empty();
  ResolveObjectives(options, model, plan);
  ResolveStages(options, plan);
  ResolveRefinements(options, plan);
  if (options.mode == Mode::kReleased) ActAsReleased(plan);
  if (options.experimental.semantic_form != SemanticForm::kOfMode) {
    plan.semantic.form = options.experimental.semantic_form;
  }
  const double step_levels = StepSizeLevels(options, plan);
  plan.budget = options.budget_levels / kLevelsPerUnit;
  plan.pgd.step_size = step_levels / kLevelsPerUnit;
  plan.bound = Bound(plan, options.budget_levels, step_levels);
  plan.visibility = options.visibility.value_or(options.mode == Mode::kReleased ? 0 : kUnseen);
  plan.texture = options.experimental.texture.value_or(plan.texture);
  return plan;
}

StepCounts CountSteps(const Plan& plan) {
  const int blocks = plan.epochs + 1;
  const bool last = plan.prompt_tuning.after_last_pgd || plan.epochs == 0;
  return {.prompt_tuning = plan.prompt_tuning.steps * (last ? blocks : plan.epochs),
          .pgd = plan.pgd.steps * blocks,
          .surrogate_tuning = plan.surrogate_tuning.steps * plan.epochs};
}

}  // namespace antidiffusion
