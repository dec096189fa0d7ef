#include "core/models/attention.h"

#include <cmath>

namespace antidiffusion {
namespace {

constexpr double kLayerNormEps = 1e-5;
constexpr double kGroupNormEps = 1e-6;
constexpr int64_t kFeedForwardFactor = 4;

}  // namespace

AttentionImpl::AttentionImpl(const AttentionShape& shape, const at::TensorOptions& options)
    : heads_(shape.heads),
      to_q_(
          register_module("to_q", Linear(shape.channels, shape.channels, options, shape.qkv_bias))),
      to_k_(register_module(
          "to_k", Linear(shape.context_channels, shape.channels, options, shape.qkv_bias))),
      to_v_(register_module(
          "to_v", Linear(shape.context_channels, shape.channels, options, shape.qkv_bias))),
      to_out_(register_module("to_out", MakeNumbered<Linear>())) {
  TORCH_CHECK(shape.heads > 0 && shape.channels % shape.heads == 0, shape.channels, " channels in ",
              shape.heads, " attention heads");
  to_out_->Add(Linear(shape.channels, shape.channels, options));
}

torch::Tensor AttentionImpl::SplitHeads(const torch::Tensor& x) const {
  return x.view({x.size(0), x.size(1), heads_, x.size(2) / heads_}).transpose(1, 2);
}

torch::Tensor AttentionImpl::forward(const torch::Tensor& hidden, const torch::Tensor& context,
                                     AttentionCapture* capture) {
  const torch::Tensor q = SplitHeads(to_q_(hidden));
  const torch::Tensor k = SplitHeads(to_k_(context));
  const torch::Tensor v = SplitHeads(to_v_(context));
  torch::Tensor out;
  if (capture == nullptr) {
    out = at::scaled_dot_product_attention(q, k, v);
  } else {
    const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(-1)));
    const torch::Tensor probabilities =
        at::softmax(at::matmul(q, k.transpose(-2, -1)) * scale, -1, at::kFloat);
    capture->probabilities.push_back(probabilities);
    out = at::matmul(probabilities.to(v.scalar_type()), v);
  }
  return (*to_out_)[0](out.transpose(1, 2).reshape(hidden.sizes()));
}

FeedForwardImpl::FeedForwardImpl(int64_t channels, const at::TensorOptions& options) {
  const int64_t inner = kFeedForwardFactor * channels;
  // Checkpoint keys net.0.proj and net.2; net.1 is a dropout.
  auto net = register_module("net", std::make_shared<torch::nn::Module>());
  auto gate = net->register_module("0", std::make_shared<torch::nn::Module>());
  proj_ = gate->register_module("proj", Linear(channels, 2 * inner, options));
  out_ = net->register_module("2", Linear(inner, channels, options));
}

torch::Tensor FeedForwardImpl::forward(const torch::Tensor& x) {
  const std::vector<torch::Tensor> halves = proj_(x).chunk(2, -1);
  return out_(halves[0] * at::gelu(halves[1]));
}

BasicTransformerBlockImpl::BasicTransformerBlockImpl(const Transformer2DShape& shape,
                                                     const at::TensorOptions& options)
    : norm1_(register_module("norm1", LayerNorm(shape.channels, kLayerNormEps, options))),
      norm2_(register_module("norm2", LayerNorm(shape.channels, kLayerNormEps, options))),
      norm3_(register_module("norm3", LayerNorm(shape.channels, kLayerNormEps, options))),
      attn1_(register_module(
          "attn1",
          Attention(AttentionShape{shape.channels, shape.channels, shape.heads}, options))),
      attn2_(register_module(
          "attn2",
          Attention(AttentionShape{shape.channels, shape.context_channels, shape.heads}, options))),
      ff_(register_module("ff", FeedForward(shape.channels, options))) {}

torch::Tensor BasicTransformerBlockImpl::forward(const torch::Tensor& x,
                                                 const torch::Tensor& context,
                                                 AttentionCapture* capture) {
  const bool captures = capture != nullptr;
  const auto body = [this, captures](const std::vector<torch::Tensor>& inputs) {
    AttentionCapture own;
    std::vector<torch::Tensor> outputs = {Compute(inputs[0], inputs[1], captures ? &own : nullptr)};
    outputs.insert(outputs.end(), own.probabilities.begin(), own.probabilities.end());
    return outputs;
  };
  const std::vector<torch::Tensor> outputs = Run(body, {x, context});
  if (captures) capture->probabilities.push_back(outputs[1]);
  return outputs[0];
}

torch::Tensor BasicTransformerBlockImpl::Compute(const torch::Tensor& x,
                                                 const torch::Tensor& context,
                                                 AttentionCapture* capture) {
  const torch::Tensor normed = norm1_(x);
  torch::Tensor h = attn1_(normed, normed) + x;
  h = attn2_(norm2_(h), context, capture) + h;
  return ff_(norm3_(h)) + h;
}

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
  for (int64_t i = 0; i < shape.layers; ++i) blocks_->Add(BasicTransformerBlock(shape, options));
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
