#include "core/protect/pgd_loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

namespace antidiffusion {
namespace {

// The value of the denoising loss; its gradient to `latent` is the residual, as if the UNet's
// Jacobian were the identity (Poole et al. 2023; Xue et al. 2024). The factor that depends on the
// timestep alone is left out: PGD uses the sign.
at::Tensor ScoreDistillationLoss(StableDiffusion& model, const at::Tensor& latent,
                                 const at::Tensor& noise, const at::Tensor& timestep,
                                 const at::Tensor& embedding) {
  at::Tensor residual;
  {
    const at::NoGradGuard no_grad;
    const NoiseSchedule& schedule = model.schedule();
    const at::Tensor noisy = schedule.AddNoise(latent, noise, timestep);
    residual = model.Predict(noisy, timestep, embedding) - schedule.Target(latent, noise, timestep);
  }
  const at::Tensor pull = 2 * (residual * latent).mean();
  return residual.square().mean() + (pull - pull.detach());
}

}  // namespace

PgdLoss EvaluatePgdLoss(StableDiffusion& model, const at::Tensor& image,
                        const at::Tensor& embedding, const at::Tensor& target,
                        const PgdObjective& objective, const SemanticLossOptions& semantic,
                        const TimestepRange& timesteps, StageContext& context) {
  const LatentPosterior posterior = model.EncodeImage(image);
  PgdLoss loss;
  if (objective.denoising_weight != 0) {
    const at::Tensor latent = posterior.Sample(context.NoiseLike(posterior.mean));
    const at::Tensor noise = context.NoiseLike(latent);
    const int64_t end = std::min<int64_t>(timesteps.max + 1, model.schedule().timesteps());
    const int64_t begin = std::min<int64_t>(timesteps.min, end - 1);
    const at::Tensor timestep = begin + context.Timestep(end - begin, model.device());
    if (objective.gradient_through_unet) {
      const bool captures = objective.semantic_loss && semantic.weight != 0;
      AttentionCapture capture{.probabilities = {}, .layers = semantic.layers};
      loss.denoising =
          model.DenoisingLoss(latent, noise, timestep, embedding, captures ? &capture : nullptr);
      if (!capture.probabilities.empty()) loss.semantic = SemanticLoss(capture, semantic);
    } else {
      loss.denoising = ScoreDistillationLoss(model, latent, noise, timestep, embedding);
    }
    loss.total = objective.denoising_weight * loss.denoising;
    if (loss.semantic.defined()) loss.total = loss.total - semantic.weight * loss.semantic;
  }
  if (objective.encoder_weight != 0) {
    const at::Tensor distance = (posterior.mean - target).square().mean();
    loss.total = loss.total.defined() ? loss.total - objective.encoder_weight * distance
                                      : -objective.encoder_weight * distance;
  }
  return loss;
}

}  // namespace antidiffusion
