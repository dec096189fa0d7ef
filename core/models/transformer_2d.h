#pragma once

#include "core/models/attention.h"
#include "core/models/layers.h"

namespace antidiffusion {

struct Transformer2DShape {
  int64_t channels = 0;
  int64_t heads = 1;
  int64_t context_channels = 0;
  int64_t norm_groups = 32;
  bool use_linear_projection = false;  // else 1x1 convolutions: SD 1.x
};

// Attention over the positions of a feature map, with a residual around it.
class Transformer2DImpl : public torch::nn::Module {
 public:
  Transformer2DImpl(const Transformer2DShape& shape, const at::TensorOptions& options);

  // x [B,C,h,w], context [B,T,D] -> [B,C,h,w]. `capture` may be null.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& context,
                        AttentionCapture* capture);

 private:
  GroupNorm norm_;
  // One pair is set.
  Linear linear_in_{nullptr}, linear_out_{nullptr};
  Conv2d conv_in_{nullptr}, conv_out_{nullptr};
  Numbered<BasicTransformerBlock> blocks_;
};
TORCH_MODULE(Transformer2D);

}  // namespace antidiffusion
