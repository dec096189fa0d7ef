#include "core/protect/pgd.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/isnan.h>

#include <cmath>

#include "core/base/status_macros.h"
#include "core/protect/jpeg_simulation.h"
#include "core/protect/pgd_loss.h"
#include "core/protect/weight_gradients.h"

namespace antidiffusion {
namespace {

constexpr double kSmallest = 1e-30;  // an image without any gradient stays where it is

at::Tensor Project(const at::Tensor& image, const at::Tensor& centre, double budget) {
  return (centre + (image - centre).clamp(-budget, budget)).clamp(-1, 1);
}

// One draw's gradient, added to `variable.grad()`; returns the loss.
double AddGradient(StableDiffusion& model, at::Tensor& variable, const at::Tensor& embedding,
                   const PgdOptions& options, bool through_jpeg, bool gather_weight_gradients,
                   StageContext& context) {
  const at::Tensor seen =
      through_jpeg ? SimulateJpeg(variable, options.refinements.jpeg_quality) : variable;
  const PgdLoss loss = EvaluatePgdLoss(
      model, seen, embedding, options.target, options.objective, options.semantic,
      {options.refinements.timestep_min, options.refinements.timestep_max}, context);
  if (context.trace() != nullptr && loss.semantic.defined() &&
      context.trace()->tensors.count("first/sdl_grad") == 0) {
    loss.semantic.backward({}, /*retain_graph=*/true, /*create_graph=*/false,
                           at::TensorList(&variable, 1));
    context.Keep("first/sdl_grad", variable.grad());
    variable.mutable_grad() = at::Tensor();
  }
  loss.total.backward();
  if (options.objective.denoising_weight != 0 && options.objective.gradient_through_unet) {
    context.CountBackward(gather_weight_gradients);
  }
  context.KeepFirst("first/pgd_grad", variable.grad());
  if (context.trace() != nullptr) {
    if (loss.denoising.defined()) context.AddToCurve("pgd_adv", loss.denoising.item<double>());
    if (loss.semantic.defined()) context.AddToCurve("pgd_sdl", loss.semantic.item<double>());
  }
  return loss.total.item<double>();
}

// The sum over the step's draws (PGD takes its sign); `value`: their mean loss.
absl::StatusOr<at::Tensor> Gradient(StableDiffusion& model, const at::Tensor& image,
                                    const at::Tensor& embedding, const PgdOptions& options,
                                    int step, StageContext& context, double& value) {
  const bool gather = options.gather_last_weight_gradients && step + 1 == options.steps;
  if (gather) DropWeightGradients(model);
  const WeightGradients weight_gradients(model, gather);
  at::Tensor variable = image.detach().requires_grad_(true);
  const int draws = options.refinements.draws;
  for (int draw = 0; draw < draws; ++draw) {
    if (draw > 0) AD_RETURN_IF_ERROR(context.Check(Stage::kPgd));
    const bool through_jpeg =
        options.refinements.jpeg_quality > 0 && (step * draws + draw) % 2 == 1;
    value +=
        AddGradient(model, variable, embedding, options, through_jpeg, gather, context) / draws;
  }
  context.AddToCurve("pgd_loss", value);
  return variable.grad();
}

}  // namespace

absl::StatusOr<at::Tensor> AscendImage(StableDiffusion& model, const at::Tensor& image,
                                       const at::Tensor& centre, const at::Tensor& embedding,
                                       const PgdOptions& options, StageContext& context) {
  at::Tensor moved = image.detach();
  at::Tensor kept;  // the gradients so far, with momentum
  for (const char* name : {"pgd_loss", "pgd_adv", "pgd_sdl"}) context.BeginCurve(name);
  for (int step = 0; step < options.steps; ++step) {
    AD_RETURN_IF_ERROR(context.Check(Stage::kPgd));
    double loss = 0;
    AD_ASSIGN_OR_RETURN(at::Tensor gradient,
                        Gradient(model, moved, embedding, options, step, context, loss));
    const at::NoGradGuard no_grad;
    // The sign of what is not a number is 0: the image would come back untouched, as a success.
    if (!std::isfinite(loss) || at::isnan(gradient).any().item<bool>()) {
      return absl::InternalError("the protection diverged: not a number");
    }
    if (options.tie_channels) gradient = gradient.sum(1, /*keepdim=*/true);
    if (options.refinements.momentum > 0) {
      gradient = gradient / gradient.abs().mean().clamp_min(kSmallest);
      if (step > 0) gradient += options.refinements.momentum * kept;
      kept = gradient;
    }
    moved = Project(moved + options.step_size * gradient.sign(), centre, options.budget);
    context.StepDone(Stage::kPgd, loss);
  }
  return moved;
}

}  // namespace antidiffusion
