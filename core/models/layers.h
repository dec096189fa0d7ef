// The layers that hold parameters. Unlike torch::nn's they leave their parameters uninitialised and
// without gradient, on the device of `options`: a loader fills them in, and on the meta device a
// model of any size costs nothing.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <string>
#include <utility>
#include <vector>

namespace antidiffusion {

// [..., in] -> [..., out]
class LinearImpl : public torch::nn::Module {
 public:
  LinearImpl(int64_t in, int64_t out, const at::TensorOptions& options, bool bias = true);
  torch::Tensor forward(const torch::Tensor& x) const;

 private:
  torch::Tensor weight_, bias_;
};
TORCH_MODULE(Linear);

struct Conv2dShape {
  int64_t in = 0;
  int64_t out = 0;
  int64_t kernel = 3;
  int64_t stride = 1;
  int64_t padding = 1;
  bool bias = true;
};

// [B,in,h,w] -> [B,out,h',w']
class Conv2dImpl : public torch::nn::Module {
 public:
  Conv2dImpl(const Conv2dShape& shape, const at::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& x) const;

 private:
  Conv2dShape shape_;
  torch::Tensor weight_, bias_;
};
TORCH_MODULE(Conv2d);

// [B,C,...] over C / groups channels and all positions.
class GroupNormImpl : public torch::nn::Module {
 public:
  GroupNormImpl(int64_t groups, int64_t channels, double eps, const at::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& x) const;

 private:
  int64_t groups_;
  double eps_;
  torch::Tensor weight_, bias_;
};
TORCH_MODULE(GroupNorm);

// [..., C] over C.
class LayerNormImpl : public torch::nn::Module {
 public:
  LayerNormImpl(int64_t channels, double eps, const at::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& x) const;

 private:
  int64_t channels_;
  double eps_;
  torch::Tensor weight_, bias_;
};
TORCH_MODULE(LayerNorm);

// ids [...] int64 -> [..., C]
class EmbeddingImpl : public torch::nn::Module {
 public:
  EmbeddingImpl(int64_t count, int64_t channels, const at::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& ids) const;

 private:
  torch::Tensor weight_;
};
TORCH_MODULE(Embedding);

// Children of one type, named "0", "1", ... as in torch.nn.ModuleList. `Holder` is a TORCH_MODULE.
template <typename Holder>
class NumberedImpl : public torch::nn::Module {
 public:
  void Add(Holder child) {
    register_module(std::to_string(children_.size()), child);
    children_.push_back(std::move(child));
  }
  size_t size() const { return children_.size(); }
  bool empty() const { return children_.empty(); }
  Holder& operator[](size_t i) { return children_[i]; }
  typename std::vector<Holder>::iterator begin() { return children_.begin(); }
  typename std::vector<Holder>::iterator end() { return children_.end(); }

 private:
  std::vector<Holder> children_;
};

template <typename Holder>
using Numbered = std::shared_ptr<NumberedImpl<Holder>>;

template <typename Holder>
Numbered<Holder> MakeNumbered() {
  return std::make_shared<NumberedImpl<Holder>>();
}

}  // namespace antidiffusion
