#include "core/protect/prompt_tuning.h"

#include "core/base/status_macros.h"
#include "core/protect/adamw.h"
#include "core/protect/weight_gradients.h"

namespace antidiffusion {

absl::StatusOr<at::Tensor> TunePrompt(StableDiffusion& model, const LatentPosterior& posterior,
                                      const at::Tensor& embedding,
                                      const PromptTuningOptions& options, StageContext& context) {
  const WeightGradients weight_gradients(model, options.gather_weight_gradients);
  const at::Tensor latent = posterior.Sample(context.NoiseLike(posterior.mean));
  at::Tensor tuned = embedding.detach().clone().requires_grad_(true);
  AdamW optimizer({tuned}, {.learning_rate = options.learning_rate});
  context.BeginCurve("pt_loss");
  for (int step = 0; step < options.steps; ++step) {
    AD_RETURN_IF_ERROR(context.Check(Stage::kPromptTuning));
    const at::Tensor noise = context.NoiseLike(latent);
    const at::Tensor timestep = context.Timestep(model.schedule().timesteps(), model.device());
    const at::Tensor loss =
        model.DenoisingLoss(latent, noise, timestep, tuned, /*capture=*/nullptr, options.target);
    optimizer.DropGradients();
    loss.backward();
    context.CountBackward(options.gather_weight_gradients);
    context.KeepFirst("first/pt_grad", tuned.grad());
    optimizer.Step();
    const double value = loss.item<double>();
    context.AddToCurve("pt_loss", value);
    context.StepDone(Stage::kPromptTuning, value);
  }
  return tuned.detach();
}

}  // namespace antidiffusion
