#include "core/models/unet_blocks.h"

#include <utility>

namespace antidiffusion {
namespace {

ResnetBlock2D MakeResnet(const LevelShape& shape, int64_t in, int64_t out,
                         const at::TensorOptions& options) {
  ResnetShape resnet = shape.resnet;
  resnet.in = in;
  resnet.out = out;
  return ResnetBlock2D(resnet, options);
}

}  // namespace

UNetDownBlockImpl::UNetDownBlockImpl(const LevelShape& shape, int64_t in, int64_t out,
                                     bool downsample, const at::TensorOptions& options)
    : resnets_(register_module("resnets", MakeNumbered<ResnetBlock2D>())) {
  if (shape.cross_attention) {
    attentions_ = register_module("attentions", MakeNumbered<Transformer2D>());
  }
  for (int64_t i = 0; i < shape.resnets; ++i) {
    resnets_->Add(MakeResnet(shape, i == 0 ? in : out, out, options));
    if (attentions_) attentions_->Add(Transformer2D(shape.transformer, options));
  }
  if (downsample) {
    downsamplers_ = register_module("downsamplers", MakeNumbered<Downsample2D>());
    downsamplers_->Add(Downsample2D(out, Downsample2DImpl::Padding::kAround, options));
  }
}

torch::Tensor UNetDownBlockImpl::forward(const torch::Tensor& x, const torch::Tensor& time,
                                         const torch::Tensor& context, AttentionCapture* capture,
                                         std::vector<torch::Tensor>& skips) {
  torch::Tensor h = x;
  for (size_t i = 0; i < resnets_->size(); ++i) {
    h = (*resnets_)[i](h, time);
    if (attentions_) h = (*attentions_)[i](h, context, capture);
    skips.push_back(h);
  }
  if (downsamplers_) {
    h = (*downsamplers_)[0](h);
    skips.push_back(h);
  }
  return h;
}

UNetMidBlockImpl::UNetMidBlockImpl(const LevelShape& shape, int64_t channels,
                                   const at::TensorOptions& options)
    : resnets_(register_module("resnets", MakeNumbered<ResnetBlock2D>())),
      attentions_(register_module("attentions", MakeNumbered<Transformer2D>())) {
  resnets_->Add(MakeResnet(shape, channels, channels, options));
  resnets_->Add(MakeResnet(shape, channels, channels, options));
  attentions_->Add(Transformer2D(shape.transformer, options));
}

torch::Tensor UNetMidBlockImpl::forward(const torch::Tensor& x, const torch::Tensor& time,
                                        const torch::Tensor& context, AttentionCapture* capture) {
  const torch::Tensor h = (*attentions_)[0]((*resnets_)[0](x, time), context, capture);
  return (*resnets_)[1](h, time);
}

UNetUpBlockImpl::UNetUpBlockImpl(const LevelShape& shape, const UpBlockChannels& channels,
                                 bool upsample, const at::TensorOptions& options)
    : resnets_(register_module("resnets", MakeNumbered<ResnetBlock2D>())) {
  if (shape.cross_attention) {
    attentions_ = register_module("attentions", MakeNumbered<Transformer2D>());
  }
  for (int64_t i = 0; i < shape.resnets; ++i) {
    const int64_t from_below = i == 0 ? channels.in : channels.out;
    const int64_t skip = i == shape.resnets - 1 ? channels.skip_in : channels.out;
    resnets_->Add(MakeResnet(shape, from_below + skip, channels.out, options));
    if (attentions_) attentions_->Add(Transformer2D(shape.transformer, options));
  }
  if (upsample) {
    upsamplers_ = register_module("upsamplers", MakeNumbered<Upsample2D>());
    upsamplers_->Add(Upsample2D(channels.out, options));
  }
}

torch::Tensor UNetUpBlockImpl::forward(const torch::Tensor& x, const torch::Tensor& time,
                                       const torch::Tensor& context, AttentionCapture* capture,
                                       std::vector<torch::Tensor>& skips) {
  torch::Tensor h = x;
  for (size_t i = 0; i < resnets_->size(); ++i) {
    const torch::Tensor skip = std::move(skips.back());
    skips.pop_back();
    h = (*resnets_)[i](at::cat({h, skip}, 1), time);
    if (attentions_) h = (*attentions_)[i](h, context, capture);
  }
  if (upsamplers_) h = (*upsamplers_)[0](h, skips.back().size(2), skips.back().size(3));
  return h;
}

}  // namespace antidiffusion
