// The levels of the UNet. B batch, C channels, h w sides, T tokens, D context width.
#pragma once

#include <vector>

#include "core/models/attention.h"
#include "core/models/attention_capture.h"
#include "core/models/resnet.h"

namespace antidiffusion {

// What all parts of one level share.
struct LevelShape {
  ResnetShape resnet;              // `in` and `out` are set by each block
  Transformer2DShape transformer;  // `channels` is the level's
  bool cross_attention = false;    // after each resnet
  int64_t resnets = 2;
};

// DownBlock2D, CrossAttnDownBlock2D.
class UNetDownBlockImpl : public torch::nn::Module {
 public:
  UNetDownBlockImpl(const LevelShape& shape, int64_t in, int64_t out, bool downsample,
                    const at::TensorOptions& options);

  // x [B,in,h,w] -> [B,out,h',w']; appends what the up blocks will be given to `skips`.
  // `time` as in ResnetBlock2D; `capture` may be null.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& time,
                        const torch::Tensor& context, AttentionCapture* capture,
                        std::vector<torch::Tensor>& skips);

 private:
  Numbered<ResnetBlock2D> resnets_;
  Numbered<Transformer2D> attentions_;   // null without cross-attention
  Numbered<Downsample2D> downsamplers_;  // null at the last level
};
TORCH_MODULE(UNetDownBlock);

// UNetMidBlock2DCrossAttn.
class UNetMidBlockImpl : public torch::nn::Module {
 public:
  UNetMidBlockImpl(const LevelShape& shape, int64_t channels, const at::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& time,
                        const torch::Tensor& context, AttentionCapture* capture);

 private:
  Numbered<ResnetBlock2D> resnets_;
  Numbered<Transformer2D> attentions_;
};
TORCH_MODULE(UNetMidBlock);

struct UpBlockChannels {
  int64_t in = 0;       // of the tensor from below
  int64_t out = 0;      // of this level
  int64_t skip_in = 0;  // of the last skip tensor, which belongs to the level above
};

// UpBlock2D, CrossAttnUpBlock2D.
class UNetUpBlockImpl : public torch::nn::Module {
 public:
  UNetUpBlockImpl(const LevelShape& shape, const UpBlockChannels& channels, bool upsample,
                  const at::TensorOptions& options);

  // Takes one tensor from the end of `skips` for each resnet; the upsampler then goes to the sides
  // of the next one.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& time,
                        const torch::Tensor& context, AttentionCapture* capture,
                        std::vector<torch::Tensor>& skips);

 private:
  Numbered<ResnetBlock2D> resnets_;
  Numbered<Transformer2D> attentions_;  // null without cross-attention
  Numbered<Upsample2D> upsamplers_;     // null at the last level
};
TORCH_MODULE(UNetUpBlock);

}  // namespace antidiffusion
