#include "core/models/tiny_encoder.h"

#include <memory>
#include <string>

namespace antidiffusion {
namespace {

const TinyVaeConfig& Checked(const TinyVaeConfig& config) {
  TORCH_CHECK(!config.num_blocks.empty(), "an encoder without levels");
  return config;
}

}  // namespace

TinyEncoderBlockImpl::TinyEncoderBlockImpl(int64_t channels, const at::TensorOptions& options) {
  // Checkpoint keys conv.0, conv.2 and conv.4; conv.1 and conv.3 are the ReLUs.
  auto conv = register_module("conv", std::make_shared<torch::nn::Module>());
  const Conv2dShape shape{channels, channels};
  conv_0_ = conv->register_module("0", Conv2d(shape, options));
  conv_2_ = conv->register_module("2", Conv2d(shape, options));
  conv_4_ = conv->register_module("4", Conv2d(shape, options));
}

torch::Tensor TinyEncoderBlockImpl::forward(const torch::Tensor& x) {
  return at::relu(conv_4_(at::relu(conv_2_(at::relu(conv_0_(x))))) + x);
}

TinyEncoderImpl::TinyEncoderImpl(const TinyVaeConfig& config, const at::TensorOptions& options)
    : factor_(Checked(config).factor()) {
  auto encoder = register_module("encoder", std::make_shared<torch::nn::Module>());
  auto layers = encoder->register_module("layers", std::make_shared<torch::nn::Module>());
  int index = 0;  // of the layer, counted through all levels
  const auto add = [&](auto layer) {
    return layers->register_module(std::to_string(index++), std::move(layer));
  };
  const int64_t channels = config.channels;
  const Conv2dShape first{config.in_channels, channels};
  const Conv2dShape halving{channels, channels, 3, 2, 1, /*bias=*/false};
  for (const int64_t blocks : config.num_blocks) {
    Level& level = levels_.emplace_back();
    level.conv = add(Conv2d(levels_.size() == 1 ? first : halving, options));
    for (int64_t i = 0; i < blocks; ++i) {
      level.blocks.push_back(add(TinyEncoderBlock(channels, options)));
    }
  }
  conv_out_ = add(Conv2d(Conv2dShape{channels, config.latent_channels}, options));
}

torch::Tensor TinyEncoderImpl::encode(const torch::Tensor& image) {
  TORCH_CHECK(image.dim() == 4 && image.size(2) % factor_ == 0 && image.size(3) % factor_ == 0,
              "an image of ", image.sizes(), " for an encoder of factor ", factor_);
  torch::Tensor h = (image + 1) / 2;
  for (Level& level : levels_) {
    h = level.conv(h);
    for (TinyEncoderBlock& block : level.blocks) h = block(h);
  }
  return conv_out_(h).to(at::kFloat);
}

}  // namespace antidiffusion
