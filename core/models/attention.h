// Multi-head attention and the transformer of a UNet's feature maps that is made of it.
// B batch, N positions, C channels, M positions attended to, D their width.
#pragma once

#include "core/models/attention_capture.h"
#include "core/models/layers.h"

namespace antidiffusion {

struct AttentionShape {
  int64_t channels = 0;          // C, of queries and result
  int64_t context_channels = 0;  // D
  int64_t heads = 1;             // divides C
  bool qkv_bias = false;
};

class AttentionImpl : public torch::nn::Module {
 public:
  AttentionImpl(const AttentionShape& shape, const at::TensorOptions& options);

  // hidden [B,N,C], context [B,M,D] -> [B,N,C]. With `capture` the probabilities [B,heads,N,M] are
  // computed explicitly and appended to it: the softmax in float32, the products before it in the
  // precision of the pass (bf16 under autocast).
  torch::Tensor forward(const torch::Tensor& hidden, const torch::Tensor& context,
                        AttentionCapture* capture = nullptr);

 private:
  // [B,N,C] -> [B,heads,N,C/heads]
  torch::Tensor SplitHeads(const torch::Tensor& x) const;

  int64_t heads_;
  Linear to_q_, to_k_, to_v_;
  Numbered<Linear> to_out_;
};
TORCH_MODULE(Attention);

// Linear to 2 * inner, of which one half gates the other (GEGLU, Shazeer 2020), and back.
class FeedForwardImpl : public torch::nn::Module {
 public:
  FeedForwardImpl(int64_t channels, const at::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& x);

 private:
  Linear proj_{nullptr}, out_{nullptr};
};
TORCH_MODULE(FeedForward);

struct Transformer2DShape {
  int64_t channels = 0;
  int64_t heads = 1;
  int64_t context_channels = 0;
  int64_t norm_groups = 32;
  bool use_linear_projection = false;  // else 1x1 convolutions: SD 1.x
  int64_t layers = 1;
};

// Self-attention, cross-attention, feed-forward; each with a residual around it.
class BasicTransformerBlockImpl : public torch::nn::Module {
 public:
  BasicTransformerBlockImpl(const Transformer2DShape& shape, const at::TensorOptions& options);

  // x [B,N,C], context [B,M,D] -> [B,N,C]. `capture` receives the cross-attention's maps.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& context,
                        AttentionCapture* capture);

 private:
  LayerNorm norm1_, norm2_, norm3_;
  Attention attn1_, attn2_;
  FeedForward ff_;
};
TORCH_MODULE(BasicTransformerBlock);

// `layers` transformer blocks over the positions of a feature map, with a residual around them all.
class Transformer2DImpl : public torch::nn::Module {
 public:
  Transformer2DImpl(const Transformer2DShape& shape, const at::TensorOptions& options);

  // x [B,C,h,w], context [B,M,D] -> [B,C,h,w]. `capture` may be null; it receives one tensor from
  // each layer.
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
