#include "core/protect/pgd.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/where.h>

#include <limits>
#include <optional>

#include "core/base/status_macros.h"
#include "core/protect/jpeg_simulation.h"
#include "core/protect/released_script.h"

namespace antidiffusion {
namespace {

constexpr double kSmallest = 1e-30;  // an image without any gradient stays where it is

struct Ascent {
  at::Tensor gradient;  // [1,3,H,W], the sum over the step's draws: PGD takes its sign
  at::Tensor loss;      // a scalar, their mean
};

at::Tensor Project(const at::Tensor& image, const StepRules& rules) {
  return (rules.centre + (image - rules.centre).clamp(-rules.budget, rules.budget)).clamp(-1, 1);
}

absl::StatusOr<Ascent> Climb(const ImageObjective& objective, const at::Tensor& image,
                             const Conditioning& conditioning, const PgdPlan& pgd, int step,
                             StageContext& context) {
  at::Tensor variable = image.detach().requires_grad_(true);
  at::Tensor loss;
  for (int draw = 0; draw < pgd.draws; ++draw) {
    if (draw > 0) AD_RETURN_IF_ERROR(context.Check(Stage::kPgd));
    const bool through_jpeg = pgd.jpeg_quality > 0 && (step * pgd.draws + draw) % 2 == 1;
    const at::Tensor seen = through_jpeg ? SimulateJpeg(variable, pgd.jpeg_quality) : variable;
    const LossTerms terms = objective.Evaluate(seen, conditioning, context);
    context.Observe([&](StepObserver& observer) { observer.OnPgdLoss(terms, variable); });
    terms.total.backward();
    context.Observe(
        [&](StepObserver& observer) { observer.OnGradient(Stage::kPgd, variable.grad()); });
    const at::Tensor part = terms.total.detach() / pgd.draws;
    loss = loss.defined() ? loss + part : part;
  }
  return Ascent{variable.grad(), loss};
}

// The loss as a number, or NaN where the gradient is not finite: one wait for the device. The sign
// of NaN is 0, which would leave the image untouched, and an infinite gradient divided by its mean
// magnitude is NaN for every pixel.
double LossIfFinite(const Ascent& ascent) {
  const at::Tensor finite = at::isfinite(ascent.gradient).all();
  return at::where(finite, ascent.loss, std::numeric_limits<double>::quiet_NaN()).item<double>();
}

}  // namespace

absl::StatusOr<at::Tensor> AscendImage(const Surrogate& model, const ImageObjective& objective,
                                       const at::Tensor& image, const StepRules& rules,
                                       const Conditioning& conditioning, const Plan& plan,
                                       int block, StageContext& context) {
  at::Tensor moved = image.detach();
  at::Tensor kept;  // the gradients so far, with momentum
  for (int step = 0; step < plan.pgd.steps; ++step) {
    AD_RETURN_IF_ERROR(context.Check(Stage::kPgd));
    std::optional<TrainableWeights::WithGradients> weight_gradients;
    if (LeavesWeightGradientsInPgd(plan, block, step)) {
      model.denoiser->weights().DropGradients();
      weight_gradients.emplace(model.denoiser->weights(), true);
    }
    AD_ASSIGN_OR_RETURN(Ascent ascent,
                        Climb(objective, moved, conditioning, plan.pgd, step, context));
    const at::NoGradGuard no_grad;
    const double loss = LossIfFinite(ascent);
    at::Tensor gradient = ascent.gradient;
    if (plan.grey) gradient = gradient.sum(1, /*keepdim=*/true);
    if (plan.pgd.momentum > 0) {
      gradient = gradient / gradient.abs().mean().clamp_min(kSmallest);
      if (step > 0) gradient += plan.pgd.momentum * kept;
      kept = gradient;
    }
    if (rules.weight != nullptr) gradient = rules.weight->Apply(gradient);
    moved = Project(moved + plan.pgd.step_size * gradient.sign(), rules);
    if (rules.limit != nullptr) moved = Project(rules.limit->Project(moved), rules);
    AD_RETURN_IF_ERROR(context.FinishStep(Stage::kPgd, loss));
  }
  return moved;
}

}  // namespace antidiffusion
