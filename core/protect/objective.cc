#include "core/protect/objective.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>

#include "core/base/status_macros.h"
#include "core/protect/semantic_loss.h"

namespace antidiffusion {
namespace {

void AddWeighted(at::Tensor& total, double weight, const at::Tensor& term) {
  if (!term.defined() || weight == 0) return;
  total = total.defined() ? total + weight * term : weight * term;
}

// The value of the denoising loss; its gradient to `latent` is the residual, as if the UNet's
// Jacobian were the identity (Poole et al. 2023; Xue et al. 2024). The factor that depends on the
// timestep alone is left out: PGD uses the sign.
at::Tensor ScoreDistillationLoss(const at::Tensor& predicted, const at::Tensor& target,
                                 const at::Tensor& latent) {
  const at::Tensor residual = predicted.detach() - target.detach();
  const at::Tensor pull = 2 * (residual * latent).mean();
  return residual.square().mean() + (pull - pull.detach());
}

at::Tensor MeanOf(const std::vector<at::Tensor>& terms) {
  if (terms.empty()) return {};
  return terms.size() == 1 ? terms.front() : at::stack(terms).mean();
}

}  // namespace

absl::StatusOr<ImageObjective> ImageObjective::Create(const Surrogate& model,
                                                      const std::vector<LatentEncoder*>& others,
                                                      const Plan& plan, const at::Tensor& original,
                                                      const StageContext& context) {
  ImageObjective objective(model, plan);
  if (!plan.raised.CompareLatents()) return objective;
  const at::NoGradGuard no_grad;
  std::vector<LatentEncoder*> encoders = others;
  if (plan.compares_own_encoder) encoders.insert(encoders.begin(), model.encoder.get());
  for (LatentEncoder* encoder : encoders) {
    AD_RETURN_IF_ERROR(context.Check(Stage::kPgd));
    Compared compared;
    compared.encoder = encoder;
    if (plan.raised.away > 0 || plan.raised.norm > 0) {
      compared.original = encoder->Mean(original);
      compared.size = compared.original.square().sum();
    }
    if (plan.raised.target > 0) compared.target = encoder->Mean(at::zeros_like(original));
    objective.compared_.push_back(compared);
  }
  return objective;
}

LossTerms ImageObjective::Evaluate(const at::Tensor& image, const Conditioning& conditioning,
                                   StageContext& context) const {
  LossTerms terms;
  EncodedImage encoded;
  if (plan_->raised.NeedUNet()) {
    encoded = model_->Encode(image);
    AddUNetTerms(encoded, conditioning, context, terms);
  }
  AddEncoderTerms(image, encoded.posterior, terms);
  return terms;
}

void ImageObjective::AddUNetTerms(const EncodedImage& encoded, const Conditioning& conditioning,
                                  StageContext& context, LossTerms& terms) const {
  const ObjectiveWeights& raised = plan_->raised;
  Denoiser& denoiser = *model_->denoiser;
  const at::Tensor latent = encoded.posterior.Sample(context.Normal(encoded.posterior.mean));
  const int64_t end = std::min<int64_t>(plan_->pgd.timestep_max + 1, denoiser.timesteps());
  const int64_t begin = std::min<int64_t>(plan_->pgd.timestep_min, end - 1);
  const NoiseDraw draw = context.Noise(latent, begin, end);
  const at::Tensor noisy = denoiser.AddNoise(latent, draw);
  AttentionCapture capture{.probabilities = {}, .layers = CapturedOf(plan_->semantic.layers)};
  at::Tensor predicted;
  {
    // Score distillation wants the prediction alone; only guidance needs its graph beside that.
    const bool on_graph = raised.denoising > 0 || raised.image_guidance > 0;
    const at::AutoGradMode grad(on_graph && at::GradMode::is_enabled());
    predicted = denoiser.Predict(noisy, draw.timestep, conditioning, encoded.extra,
                                 raised.semantic > 0 ? &capture : nullptr);
  }
  if (raised.denoising > 0) {
    terms.denoising = at::mse_loss(predicted, denoiser.Target(latent, draw));
  } else if (raised.score_distillation > 0) {
    terms.denoising = ScoreDistillationLoss(predicted, denoiser.Target(latent, draw), latent);
  }
  if (!capture.probabilities.empty()) terms.semantic = SemanticLoss(capture, plan_->semantic);
  if (raised.image_guidance > 0) {
    const at::Tensor blind =
        denoiser.Predict(noisy, draw.timestep, conditioning, at::zeros_like(encoded.extra));
    terms.image_guidance = -at::mse_loss(predicted, blind);
  }
  AddWeighted(terms.total, raised.denoising + raised.score_distillation, terms.denoising);
  AddWeighted(terms.total, -raised.semantic, terms.semantic);
  AddWeighted(terms.total, raised.image_guidance, terms.image_guidance);
}

void ImageObjective::AddEncoderTerms(const at::Tensor& image, const LatentPosterior& own,
                                     LossTerms& terms) const {
  if (compared_.empty()) return;
  const ObjectiveWeights& raised = plan_->raised;
  std::vector<at::Tensor> away;
  std::vector<at::Tensor> norm;
  std::vector<at::Tensor> target;
  for (const Compared& of : compared_) {
    const bool is_known = of.encoder == model_->encoder.get() && own.mean.defined();
    const at::Tensor latent = is_known ? own.mean : of.encoder->Mean(image);
    at::Tensor sum;
    if (raised.away > 0) {
      away.push_back((latent - of.original).square().sum() / of.size);
      AddWeighted(sum, raised.away, away.back());
    }
    if (raised.norm > 0) {
      norm.push_back(-latent.square().sum() / of.size);
      AddWeighted(sum, raised.norm, norm.back());
    }
    if (raised.target > 0) {
      target.push_back(-(latent - of.target).square().mean());
      AddWeighted(sum, raised.target, target.back());
    }
    terms.encoders.push_back(sum);
  }
  terms.away = MeanOf(away);
  terms.norm = MeanOf(norm);
  terms.target = MeanOf(target);
  AddWeighted(terms.total, raised.away, terms.away);
  AddWeighted(terms.total, raised.norm, terms.norm);
  AddWeighted(terms.total, raised.target, terms.target);
}

}  // namespace antidiffusion
