#include "core/protect/surrogate_tuning.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>

#include <vector>

#include "core/base/status_macros.h"
#include "core/protect/adamw.h"
#include "core/protect/weight_gradients.h"

namespace antidiffusion {
namespace {

// torch.nn.utils.clip_grad_norm_, without a wait for the device.
void ClipGradients(const std::vector<at::Tensor>& weights, double limit) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& weight : weights) {
    if (weight.grad().defined()) gradients.push_back(weight.grad());
  }
  const at::Tensor norm = at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients)));
  at::_foreach_mul_(gradients, (limit / (norm + 1e-6)).clamp_max(1));
}

}  // namespace

absl::Status TuneSurrogate(StableDiffusion& model, const LatentPosterior& posterior,
                           const at::Tensor& embedding, const SurrogateTuningOptions& options,
                           StageContext& context) {
  if (options.start_from_zero) DropWeightGradients(model);
  context.BeginCurve("tune_loss");
  context.BeginCurve("tune_grad_norm");
  if (context.trace() != nullptr) {
    context.BeginCurve("tune_stale_norm");
    context.AddToCurve("tune_stale_norm", WeightGradientNorm(model));
  }
  const WeightGradients weight_gradients(model, true);
  const std::vector<at::Tensor> weights = model.unet()->parameters();
  AdamW optimizer(weights,
                  {.learning_rate = options.learning_rate, .weight_decay = options.weight_decay});
  for (int step = 0; step < options.steps; ++step) {
    AD_RETURN_IF_ERROR(context.Check(Stage::kSurrogateTuning));
    const at::Tensor latent = posterior.Sample(context.NoiseLike(posterior.mean));
    const at::Tensor noise = context.NoiseLike(latent);
    const at::Tensor timestep = context.Timestep(model.schedule().timesteps(), model.device());
    const at::Tensor loss = model.DenoisingLoss(latent, noise, timestep, embedding);
    loss.backward();
    context.CountBackward(/*weight_gradients=*/true);
    if (context.trace() != nullptr) {
      context.AddToCurve("tune_grad_norm", WeightGradientNorm(model));
    }
    if (options.clip_norm > 0) ClipGradients(weights, options.clip_norm);
    optimizer.Step();
    optimizer.DropGradients();
    const double value = loss.item<double>();
    context.AddToCurve("tune_loss", value);
    context.StepDone(Stage::kSurrogateTuning, value);
  }
  return absl::OkStatus();
}

}  // namespace antidiffusion
