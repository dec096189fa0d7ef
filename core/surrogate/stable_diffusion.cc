#include "core/surrogate/stable_diffusion.h"

#include <ATen/ATen.h>

#include <utility>
#include <vector>

#include "core/surrogate/autocast.h"

namespace antidiffusion {
namespace {

void SetTrainable(torch::nn::Module& module, bool trainable) {
  for (at::Tensor& parameter : module.parameters()) {
    parameter.set_requires_grad(trainable);
    if (!trainable) parameter.mutable_grad() = at::Tensor();
  }
}

}  // namespace

StableDiffusion::StableDiffusion(StableDiffusionParts parts) : parts_(std::move(parts)) {
  *parts_.schedule = parts_.schedule->To(parts_.device);
  SetTrainable(*parts_.unet, false);
  SetTrainable(*parts_.vae, false);
  SetTrainable(*parts_.text_encoder, false);
}

void StableDiffusion::SetUNetTrainable(bool trainable) { SetTrainable(*parts_.unet, trainable); }

at::Tensor StableDiffusion::EncodePrompt(const std::string& prompt) {
  if (prompt.empty() && empty_prompt_.defined()) return empty_prompt_;
  const at::NoGradGuard no_grad;
  const AutocastScope autocast(parts_.device, parts_.precision);
  const std::vector<int64_t> ids = parts_.tokenizer->Encode(prompt);
  at::Tensor embedding =
      parts_.text_encoder(at::tensor(ids, at::kLong).unsqueeze(0).to(parts_.device)).to(at::kFloat);
  ++counts_.text_encodes;
  if (prompt.empty()) empty_prompt_ = embedding;
  return embedding;
}

LatentPosterior StableDiffusion::EncodeImage(const at::Tensor& image) {
  const AutocastScope autocast(parts_.device, parts_.precision);
  const Posterior posterior = parts_.vae->encode(image);
  ++counts_.vae_encodes;
  if (posterior.mean.requires_grad()) ++counts_.vae_encodes_on_graph;
  const double scale = parts_.vae_config.scaling_factor;
  return {posterior.mean * scale, at::exp(0.5 * posterior.logvar) * scale};
}

at::Tensor StableDiffusion::Predict(const at::Tensor& noisy, const at::Tensor& timestep,
                                    const at::Tensor& context, AttentionCapture* capture) {
  const AutocastScope autocast(parts_.device, parts_.precision);
  ++counts_.unet_forwards;
  return parts_.unet(noisy, timestep, context, capture).to(at::kFloat);
}

at::Tensor StableDiffusion::DenoisingLoss(const at::Tensor& latent, const at::Tensor& noise,
                                          const at::Tensor& timestep, const at::Tensor& context,
                                          AttentionCapture* capture, LossTarget target) {
  const NoiseSchedule& schedule = *parts_.schedule;
  const at::Tensor noisy = schedule.AddNoise(latent, noise, timestep);
  const at::Tensor predicted = Predict(noisy, timestep, context, capture);
  const at::Tensor wanted =
      target == LossTarget::kNoise ? noise : schedule.Target(latent, noise, timestep);
  return at::mse_loss(predicted, wanted);
}

}  // namespace antidiffusion
