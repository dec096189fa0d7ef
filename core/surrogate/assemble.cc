#include "core/surrogate/assemble.h"

#include <ATen/ATen.h>

#include <utility>

#include "core/surrogate/activation_memory.h"
#include "core/surrogate/image_channels.h"
#include "core/surrogate/unet_denoiser.h"

namespace antidiffusion {
namespace {

class VaeLatentEncoder : public LatentEncoder {
 public:
  VaeLatentEncoder(Vae vae, const EncoderSettings& settings)
      : LatentEncoder(settings), vae_(std::move(vae)) {
    for (at::Tensor& weight : vae_->parameters()) weight.requires_grad_(false);
  }

 protected:
  Output Run(const at::Tensor& image) override {
    const Posterior posterior = vae_->encode(image);
    return {posterior.mean, posterior.logvar};
  }

  std::vector<std::pair<std::string, at::Tensor>> Weights() override {
    std::vector<std::pair<std::string, at::Tensor>> weights;
    for (const auto& weight : vae_->named_parameters()) {
      weights.emplace_back(weight.key(), weight.value());
    }
    return weights;
  }

 private:
  Vae vae_;
};

std::unique_ptr<ImageChannels> ChannelsOf(int64_t in_channels, LatentEncoder& encoder) {
  const int64_t latent = encoder.latent_channels();
  if (in_channels == 2 * latent) return MakeEditingChannels();
  if (in_channels == 2 * latent + 1) return MakeInpaintingChannels(encoder);
  return nullptr;
}

}  // namespace

Surrogate MakeSurrogate(SurrogateParts parts) {
  Surrogate surrogate;
  surrogate.family = parts.family;
  surrogate.digest = parts.digest;
  surrogate.device = parts.device;
  surrogate.precision = parts.precision;
  surrogate.encoder = std::make_unique<VaeLatentEncoder>(
      std::move(parts.vae),
      EncoderSettings{.device = parts.device,
                      .precision = parts.precision,
                      .scaling_factor = parts.vae_config.scaling_factor,
                      .factor = parts.vae_config.factor(),
                      .latent_channels = parts.vae_config.latent_channels,
                      .activation_bytes_a_pixel = ActivationBytesPerPixel(parts.vae_config)});
  if (parts.unet.is_empty()) return surrogate;
  UNetDenoiserParts unet;
  unet.unet = std::move(parts.unet);
  unet.config = parts.unet_config;
  unet.schedule = std::move(parts.schedule);
  unet.prompts = MakePromptEncoder(std::move(parts.texts.front()), parts.device, parts.precision);
  unet.channels = ChannelsOf(parts.unet_config.in_channels, *surrogate.encoder);
  unet.device = parts.device;
  unet.precision = parts.precision;
  unet.activation_bytes_a_pixel =
      ActivationBytesPerPixel(parts.unet_config, surrogate.encoder->factor());
  surrogate.native_side = parts.unet_config.sample_size * surrogate.encoder->factor();
  surrogate.denoiser = std::make_unique<UNetDenoiser>(std::move(unet));
  return surrogate;
}

}  // namespace antidiffusion
