#include "core/surrogate/assemble.h"

#include <type_traits>
#include <utility>
#include <variant>

#include "core/models/recompute.h"
#include "core/surrogate/activation_memory.h"
#include "core/surrogate/image_channels.h"
#include "core/surrogate/unet_denoiser.h"

namespace antidiffusion {
namespace {

// An encoder whose network gives a posterior (AutoencoderKL) or a latent (AutoencoderTiny).
template <typename Network>
class NetworkEncoder : public LatentEncoder {
 public:
  NetworkEncoder(Network network, const EncoderSettings& settings)
      : LatentEncoder(settings), network_(std::move(network)) {
    for (at::Tensor& weight : network_->parameters()) weight.set_requires_grad(false);
  }

  void Recompute(bool on) override { SetRecompute(*network_, on); }

 protected:
  Output Run(const at::Tensor& image) override {
    if constexpr (std::is_same_v<Network, Vae>) {
      const Posterior posterior = network_->encode(image);
      return {posterior.mean, posterior.logvar};
    } else {
      return {network_->encode(image), {}};
    }
  }

 private:
  Network network_;
};

std::unique_ptr<LatentEncoder> MakeEncoder(EncoderParts parts, c10::Device device,
                                           c10::ScalarType precision) {
  EncoderSettings settings;
  settings.device = device;
  settings.precision = precision;
  settings.digest = parts.digest;
  std::visit(
      [&settings](const auto& config) {
        settings.scaling_factor = config.scaling_factor;
        settings.shift_factor = config.shift_factor;
        settings.factor = config.factor();
        settings.latent_channels = config.latent_channels;
        settings.activation_bytes = ActivationBytesOf(config);
      },
      parts.config);
  return std::visit(
      [&settings](auto& network) -> std::unique_ptr<LatentEncoder> {
        using Network = std::decay_t<decltype(network)>;
        return std::make_unique<NetworkEncoder<Network>>(std::move(network), settings);
      },
      parts.network);
}

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
  surrogate.notes = std::move(parts.notes);
  surrogate.device = parts.device;
  surrogate.precision = parts.precision;
  surrogate.encoder = MakeEncoder(std::move(parts.encoder), parts.device, parts.precision);
  if (parts.unet.network.is_empty()) return surrogate;
  const UNetConfig& config = parts.unet.config;
  surrogate.native_side = config.sample_size * surrogate.encoder->factor();
  UNetDenoiserParts unet;
  unet.config = config;
  unet.channels = ChannelsOf(config.in_channels, *surrogate.encoder);
  if (config.in_channels > 2 * surrogate.encoder->latent_channels()) {  // a masked image, encoded
    unet.activation_bytes.push_back(surrogate.encoder->activation_bytes());
  }
  unet.activation_bytes.push_back(ActivationBytesOf(config, surrogate.encoder->factor()));
  unet.unet = std::move(parts.unet.network);
  unet.schedule = std::move(parts.unet.schedule);
  unet.prompts = std::move(parts.unet.prompts);
  unet.device = parts.device;
  unet.precision = parts.precision;
  surrogate.denoiser = std::make_unique<UNetDenoiser>(std::move(unet));
  return surrogate;
}

}  // namespace antidiffusion
