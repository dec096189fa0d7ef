// The convolutional half of UNet and VAE. B batch, C channels, h w sides.
#pragma once

#include "core/models/layers.h"
#include "core/models/recompute.h"

namespace antidiffusion {

struct ResnetShape {
  int64_t in = 0;
  int64_t out = 0;
  int64_t time_channels = 0;  // 0: no time embedding (VAE)
  int64_t norm_groups = 32;
  double norm_eps = 1e-5;
};

class ResnetBlock2DImpl : public RecomputableModule {
 public:
  ResnetBlock2DImpl(const ResnetShape& shape, const at::TensorOptions& options);

  // x [B,in,h,w] -> [B,out,h,w]. `time` [B,time_channels] is the time embedding after its SiLU,
  // which all blocks share; undefined where the block has none.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& time = {});

 private:
  torch::Tensor Residual(const torch::Tensor& x, const torch::Tensor& time);

  GroupNorm norm1_, norm2_;
  Conv2d conv1_, conv2_;
  Linear time_emb_proj_{nullptr};
  Conv2d conv_shortcut_{nullptr};
};
TORCH_MODULE(ResnetBlock2D);

// Halves the sides by a convolution of stride 2.
class Downsample2DImpl : public torch::nn::Module {
 public:
  enum class Padding {
    kAround,    // one on every side (UNet): side -> ceil(side / 2)
    kFarSides,  // one to the right and below (VAE): side -> floor(side / 2)
  };
  Downsample2DImpl(int64_t channels, Padding padding, const at::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& x);

 private:
  Padding padding_;
  Conv2d conv_;
};
TORCH_MODULE(Downsample2D);

// Nearest interpolation and a convolution.
class Upsample2DImpl : public torch::nn::Module {
 public:
  Upsample2DImpl(int64_t channels, const at::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& x, int64_t height, int64_t width);

 private:
  Conv2d conv_;
};
TORCH_MODULE(Upsample2D);

// Two linear layers from a sinusoid to the time embedding.
class TimestepEmbeddingImpl : public torch::nn::Module {
 public:
  TimestepEmbeddingImpl(int64_t in, int64_t out, const at::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& sinusoid);

 private:
  Linear linear_1_, linear_2_;
};
TORCH_MODULE(TimestepEmbedding);

// timestep [B] -> [B,channels] float32: sin and cos of timestep * 10000^(-i / (half - shift)),
// i < half = channels / 2 (Vaswani et al. 2017); cos first where `flip_sin_to_cos`.
torch::Tensor TimestepSinusoid(const torch::Tensor& timestep, int64_t channels,
                               bool flip_sin_to_cos, int64_t freq_shift);

}  // namespace antidiffusion
