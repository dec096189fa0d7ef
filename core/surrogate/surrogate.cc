#include "core/surrogate/surrogate.h"

#include <ATen/ops/mse_loss.h>

namespace antidiffusion {

EncodedImage Surrogate::Encode(const at::Tensor& image) const {
  EncodedImage encoded;
  encoded.posterior = encoder->Encode(image);
  if (denoiser != nullptr) encoded.extra = denoiser->ExtraChannels(image, encoded.posterior);
  return encoded;
}

at::Tensor DenoisingLoss(Denoiser& denoiser, const at::Tensor& latent, const NoiseDraw& draw,
                         const Conditioning& conditioning, const at::Tensor& extra,
                         AttentionCapture* capture, LossTarget target) {
  const at::Tensor predicted = denoiser.Predict(denoiser.AddNoise(latent, draw), draw.timestep,
                                                conditioning, extra, capture);
  return at::mse_loss(predicted,
                      target == LossTarget::kNoise ? draw.noise : denoiser.Target(latent, draw));
}

}  // namespace antidiffusion
