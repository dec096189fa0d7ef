// The encoder of AutoencoderTiny (TAESD, Bohan 2023): convolutions and ReLUs without norms.
#pragma once

#include "core/models/config.h"
#include "core/models/layers.h"

namespace antidiffusion {

// Three convolutions with ReLUs between them, a residual around them and a ReLU after that.
class TinyEncoderBlockImpl : public torch::nn::Module {
 public:
  TinyEncoderBlockImpl(int64_t channels, const at::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& x);

 private:
  Conv2d conv_0_{nullptr}, conv_2_{nullptr}, conv_4_{nullptr};
};
TORCH_MODULE(TinyEncoderBlock);

// Parameter names equal the checkpoint's keys; those of `decoder.` have no counterpart here. Throws
// c10::Error on a wrong shape.
class TinyEncoderImpl : public torch::nn::Module {
 public:
  // Parameters are left uninitialised, on the device of `options` (see layers.h).
  explicit TinyEncoderImpl(const TinyVaeConfig& config, const at::TensorOptions& options = {});

  // B batch, C latent channels, f = 2^(levels - 1): image [B,3,H,W] in [-1,1], H and W multiples of
  // f -> latent [B,C,H/f,W/f] float32, neither shifted nor scaled. The network itself sees the
  // image in [0,1].
  torch::Tensor encode(const torch::Tensor& image);

 private:
  // Each level is a convolution, which halves the sides in all but the first level, and its blocks.
  struct Level {
    Conv2d conv{nullptr};
    std::vector<TinyEncoderBlock> blocks;
  };

  int64_t factor_;
  std::vector<Level> levels_;
  Conv2d conv_out_{nullptr};
};
TORCH_MODULE(TinyEncoder);

}  // namespace antidiffusion
