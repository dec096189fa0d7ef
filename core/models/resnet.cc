#include "core/models/resnet.h"

#include <cmath>

namespace antidiffusion {

ResnetBlock2DImpl::ResnetBlock2DImpl(const ResnetShape& shape, const at::TensorOptions& options)
    : norm1_(register_module("norm1",
                             GroupNorm(shape.norm_groups, shape.in, shape.norm_eps, options))),
      norm2_(register_module("norm2",
                             GroupNorm(shape.norm_groups, shape.out, shape.norm_eps, options))),
      conv1_(register_module("conv1", Conv2d(Conv2dShape{shape.in, shape.out}, options))),
      conv2_(register_module("conv2", Conv2d(Conv2dShape{shape.out, shape.out}, options))) {
  if (shape.time_channels > 0) {
    time_emb_proj_ =
        register_module("time_emb_proj", Linear(shape.time_channels, shape.out, options));
  }
  if (shape.in != shape.out) {
    conv_shortcut_ = register_module("conv_shortcut",
                                     Conv2d(Conv2dShape{shape.in, shape.out, 1, 1, 0}, options));
  }
}

torch::Tensor ResnetBlock2DImpl::forward(const torch::Tensor& x, const torch::Tensor& time) {
  std::vector<torch::Tensor> inputs = {x};
  if (time_emb_proj_) inputs.push_back(time);
  const auto body = [this](const std::vector<torch::Tensor>& kept) {
    return std::vector<torch::Tensor>{
        Residual(kept[0], kept.size() > 1 ? kept[1] : torch::Tensor())};
  };
  return Run(body, inputs).front();
}

torch::Tensor ResnetBlock2DImpl::Residual(const torch::Tensor& x, const torch::Tensor& time) {
  torch::Tensor h = conv1_(at::silu(norm1_(x)));
  if (time_emb_proj_) h = h + time_emb_proj_(time).unsqueeze(-1).unsqueeze(-1);
  h = conv2_(at::silu(norm2_(h)));
  return h + (conv_shortcut_ ? conv_shortcut_(x) : x);
}

Downsample2DImpl::Downsample2DImpl(int64_t channels, Padding padding,
                                   const at::TensorOptions& options)
    : padding_(padding),
      conv_(register_module(
          "conv", Conv2d(Conv2dShape{channels, channels, 3, 2, padding == Padding::kAround ? 1 : 0},
                         options))) {}

torch::Tensor Downsample2DImpl::forward(const torch::Tensor& x) {
  return conv_(padding_ == Padding::kFarSides ? at::constant_pad_nd(x, {0, 1, 0, 1}) : x);
}

Upsample2DImpl::Upsample2DImpl(int64_t channels, const at::TensorOptions& options)
    : conv_(register_module("conv", Conv2d(Conv2dShape{channels, channels}, options))) {}

torch::Tensor Upsample2DImpl::forward(const torch::Tensor& x, int64_t height, int64_t width) {
  return conv_(at::upsample_nearest2d(x, {height, width}));
}

TimestepEmbeddingImpl::TimestepEmbeddingImpl(int64_t in, int64_t out,
                                             const at::TensorOptions& options)
    : linear_1_(register_module("linear_1", Linear(in, out, options))),
      linear_2_(register_module("linear_2", Linear(out, out, options))) {}

torch::Tensor TimestepEmbeddingImpl::forward(const torch::Tensor& sinusoid) {
  return linear_2_(at::silu(linear_1_(sinusoid)));
}

torch::Tensor TimestepSinusoid(const torch::Tensor& timestep, int64_t channels,
                               bool flip_sin_to_cos, int64_t freq_shift) {
  const int64_t half = channels / 2;
  const torch::Tensor steps =
      at::arange(half, at::TensorOptions(at::kFloat).device(timestep.device()));
  const torch::Tensor frequencies =
      at::exp(steps * -std::log(10000.0) / static_cast<double>(half - freq_shift));
  const torch::Tensor angles = timestep.to(at::kFloat).unsqueeze(1) * frequencies.unsqueeze(0);
  const torch::Tensor sin = at::sin(angles), cos = at::cos(angles);
  return flip_sin_to_cos ? at::cat({cos, sin}, 1) : at::cat({sin, cos}, 1);
}

}  // namespace antidiffusion
