#include "core/models/transformer_2d.h"

namespace antidiffusion {
namespace {

constexpr double kGroupNormEps = 1e-6;

}  // namespace

Transformer2DImpl::Transformer2DImpl(const Transformer2DShape& shape,
                                     const at::TensorOptions& options)
    : norm_(register_module("norm",
                            GroupNorm(shape.norm_groups, shape.channels, kGroupNormEps, options))),
      blocks_(register_module("transformer_blocks", MakeNumbered<BasicTransformerBlock>())) {
  const int64_t channels = shape.channels;
  if (shape.use_linear_projection) {
    linear_in_ = register_module("proj_in", Linear(channels, channels, options));
    linear_out_ = register_module("proj_out", Linear(channels, channels, options));
  } else {
    const Conv2dShape point{channels, channels, 1, 1, 0};
    conv_in_ = register_module("proj_in", Conv2d(point, options));
    conv_out_ = register_module("proj_out", Conv2d(point, options));
  }
  blocks_->Add(BasicTransformerBlock(channels, shape.heads, shape.context_channels, options));
}

torch::Tensor Transformer2DImpl::forward(const torch::Tensor& x, const torch::Tensor& context,
                                         AttentionCapture* capture) {
  const int64_t batch = x.size(0), channels = x.size(1), height = x.size(2), width = x.size(3);
  torch::Tensor h = norm_(x);
  if (conv_in_) h = conv_in_(h);
  h = h.permute({0, 2, 3, 1}).reshape({batch, height * width, channels});
  if (linear_in_) h = linear_in_(h);
  for (BasicTransformerBlock& block : *blocks_) h = block(h, context, capture);
  if (linear_out_) h = linear_out_(h);
  h = h.view({batch, height, width, channels}).permute({0, 3, 1, 2});
  if (conv_out_) h = conv_out_(h);
  return h + x;
}

}  // namespace antidiffusion
