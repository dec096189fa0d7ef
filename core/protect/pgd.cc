#include "core/protect/pgd.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/isnan.h>

#include <cmath>

#include "core/base/status_macros.h"
#include "core/protect/pgd_loss.h"
#include "core/protect/weight_gradients.h"

namespace antidiffusion {
namespace {

at::Tensor Project(const at::Tensor& image, const at::Tensor& centre, double budget) {
  return (centre + (image - centre).clamp(-budget, budget)).clamp(-1, 1);
}

at::Tensor Gradient(StableDiffusion& model, const at::Tensor& image, const at::Tensor& embedding,
                    const PgdOptions& options, bool gather_weight_gradients, StageContext& context,
                    double& value) {
  if (gather_weight_gradients) DropWeightGradients(model);
  const WeightGradients weight_gradients(model, gather_weight_gradients);
  at::Tensor variable = image.detach().requires_grad_(true);
  const PgdLoss loss = EvaluatePgdLoss(model, variable, embedding, options.target,
                                       options.objective, options.semantic, context);
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
  value = loss.total.item<double>();
  context.AddToCurve("pgd_loss", value);
  if (context.trace() != nullptr) {
    if (loss.denoising.defined()) context.AddToCurve("pgd_adv", loss.denoising.item<double>());
    if (loss.semantic.defined()) context.AddToCurve("pgd_sdl", loss.semantic.item<double>());
  }
  return variable.grad();
}

}  // namespace

absl::StatusOr<at::Tensor> AscendImage(StableDiffusion& model, const at::Tensor& image,
                                       const at::Tensor& centre, const at::Tensor& embedding,
                                       const PgdOptions& options, StageContext& context) {
  at::Tensor moved = image.detach();
  for (const char* name : {"pgd_loss", "pgd_adv", "pgd_sdl"}) context.BeginCurve(name);
  for (int step = 0; step < options.steps; ++step) {
    AD_RETURN_IF_ERROR(context.Check(Stage::kPgd));
    const bool gather = options.gather_last_weight_gradients && step + 1 == options.steps;
    double loss = 0;
    at::Tensor gradient = Gradient(model, moved, embedding, options, gather, context, loss);
    const at::NoGradGuard no_grad;
    // The sign of what is not a number is 0: the image would come back untouched, as a success.
    if (!std::isfinite(loss) || at::isnan(gradient).any().item<bool>()) {
      return absl::InternalError("the protection diverged: not a number");
    }
    if (options.tie_channels) gradient = gradient.sum(1, /*keepdim=*/true);
    moved = Project(moved + options.step_size * gradient.sign(), centre, options.budget);
    context.StepDone(Stage::kPgd, loss);
  }
  return moved;
}

}  // namespace antidiffusion
