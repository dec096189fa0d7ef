// Multi-head attention, the gated feed-forward, and the transformer block made of them.
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

class BasicTransformerBlockImpl : public torch::nn::Module {
 public:
  BasicTransformerBlockImpl(int64_t channels, int64_t heads, int64_t context_channels,
                            const at::TensorOptions& options);

  // x [B,N,C], context [B,M,D] -> [B,N,C]. `capture` receives the cross-attention's maps.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& context,
                        AttentionCapture* capture);

 private:
  LayerNorm norm1_, norm2_, norm3_;
  Attention attn1_, attn2_;
  FeedForward ff_;
};
TORCH_MODULE(BasicTransformerBlock);

}  // namespace antidiffusion
