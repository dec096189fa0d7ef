#include "core/models/vae.h"

#include <vector>

namespace antidiffusion {
namespace {

constexpr double kMinLogVariance = -30.0;
constexpr double kMaxLogVariance = 20.0;

const VaeConfig& Checked(const VaeConfig& config) {
  TORCH_CHECK(!config.block_out_channels.empty(), "a VAE without levels");
  TORCH_CHECK(config.layers_per_block > 0, "layers_per_block ", config.layers_per_block);
  return config;
}

Conv2dShape Point(int64_t channels) { return {channels, channels, 1, 1, 0}; }

}  // namespace

VaeImpl::VaeImpl(const VaeConfig& config, const at::TensorOptions& options)
    : factor_(Checked(config).factor()),
      encoder_(register_module("encoder", VaeEncoder(config, options))),
      decoder_(register_module("decoder", VaeDecoder(config, options))),
      quant_conv_(
          register_module("quant_conv", Conv2d(Point(2 * config.latent_channels), options))),
      post_quant_conv_(
          register_module("post_quant_conv", Conv2d(Point(config.latent_channels), options))) {}

Posterior VaeImpl::encode(const torch::Tensor& image) {
  TORCH_CHECK(image.dim() == 4 && image.size(2) % factor_ == 0 && image.size(3) % factor_ == 0,
              "an image of ", image.sizes(), " for a VAE of factor ", factor_);
  const std::vector<torch::Tensor> moments =
      quant_conv_(encoder_(image)).to(at::kFloat).chunk(2, 1);
  return {moments[0], moments[1].clamp(kMinLogVariance, kMaxLogVariance)};
}

torch::Tensor VaeImpl::decode(const torch::Tensor& latent) {
  return decoder_(post_quant_conv_(latent));
}

}  // namespace antidiffusion
