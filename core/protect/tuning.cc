#include "core/protect/tuning.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>

#include <vector>

#include "core/base/status_macros.h"
#include "core/protect/adamw.h"
#include "core/protect/released_script.h"

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

absl::StatusOr<Conditioning> TunePrompt(Denoiser& denoiser, const EncodedImage& image,
                                        const Conditioning& conditioning, const Plan& plan,
                                        int block, StageContext& context) {
  const PromptTuningPlan& tuning = plan.prompt_tuning;
  const TrainableWeights::WithGradients weight_gradients(
      denoiser.weights(), LeavesWeightGradientsInPromptTuning(plan, block));
  const LossTarget target =
      tuning.target_is_noise ? LossTarget::kNoise : LossTarget::kByPredictionType;
  const at::Tensor latent = image.posterior.Sample(context.Normal(image.posterior.mean));
  Conditioning tuned = conditioning;
  tuned.context = conditioning.context.detach().clone().requires_grad_(true);
  AdamW optimizer({tuned.context}, {.learning_rate = tuning.learning_rate});
  for (int step = 0; step < tuning.steps; ++step) {
    AD_RETURN_IF_ERROR(context.Check(Stage::kPromptTuning));
    const NoiseDraw draw = context.Noise(latent, 0, denoiser.timesteps());
    const at::Tensor loss =
        DenoisingLoss(denoiser, latent, draw, tuned, image.extra, /*capture=*/nullptr, target);
    optimizer.DropGradients();
    loss.backward();
    context.Observe([&](StepObserver& observer) {
      observer.OnGradient(Stage::kPromptTuning, tuned.context.grad());
    });
    optimizer.Step();
    AD_RETURN_IF_ERROR(context.FinishStep(Stage::kPromptTuning, loss.item<double>()));
  }
  tuned.context = tuned.context.detach();
  return tuned;
}

absl::Status TuneSurrogate(Denoiser& denoiser, const EncodedImage& image,
                           const Conditioning& conditioning, const Plan& plan,
                           StageContext& context) {
  const SurrogateTuningPlan& tuning = plan.surrogate_tuning;
  TrainableWeights& weights = denoiser.weights();
  const TrainableWeights::WithGradients weight_gradients(weights, true);
  AdamW optimizer(weights.tensors(),
                  {.learning_rate = tuning.learning_rate, .weight_decay = tuning.weight_decay});
  for (int step = 0; step < tuning.steps; ++step) {
    AD_RETURN_IF_ERROR(context.Check(Stage::kSurrogateTuning));
    const at::Tensor latent = image.posterior.Sample(context.Normal(image.posterior.mean));
    const NoiseDraw draw = context.Noise(latent, 0, denoiser.timesteps());
    const at::Tensor loss = DenoisingLoss(denoiser, latent, draw, conditioning, image.extra);
    loss.backward();
    context.Observe(
        [](StepObserver& observer) { observer.OnGradient(Stage::kSurrogateTuning, {}); });
    if (tuning.clip_norm > 0) ClipGradients(weights.tensors(), tuning.clip_norm);
    optimizer.Step();
    optimizer.DropGradients();
    AD_RETURN_IF_ERROR(context.FinishStep(Stage::kSurrogateTuning, loss.item<double>()));
  }
  return absl::OkStatus();
}

}  // namespace antidiffusion
