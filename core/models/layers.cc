#include "core/models/layers.h"

namespace antidiffusion {
namespace {

constexpr bool kRequiresGrad = false;

}  // namespace

LinearImpl::LinearImpl(int64_t in, int64_t out, const at::TensorOptions& options, bool bias)
    : weight_(register_parameter("weight", at::empty({out, in}, options), kRequiresGrad)) {
  if (bias) bias_ = register_parameter("bias", at::empty({out}, options), kRequiresGrad);
}

torch::Tensor LinearImpl::forward(const torch::Tensor& x) const {
  return at::linear(x, weight_, bias_);
}

Conv2dImpl::Conv2dImpl(const Conv2dShape& shape, const at::TensorOptions& options)
    : shape_(shape),
      weight_(register_parameter(
          "weight", at::empty({shape.out, shape.in, shape.kernel, shape.kernel}, options),
          kRequiresGrad)) {
  if (shape.bias)
    bias_ = register_parameter("bias", at::empty({shape.out}, options), kRequiresGrad);
}

torch::Tensor Conv2dImpl::forward(const torch::Tensor& x) const {
  return at::conv2d(x, weight_, bias_, shape_.stride, shape_.padding);
}

GroupNormImpl::GroupNormImpl(int64_t groups, int64_t channels, double eps,
                             const at::TensorOptions& options)
    : groups_(groups),
      eps_(eps),
      weight_(register_parameter("weight", at::empty({channels}, options), kRequiresGrad)),
      bias_(register_parameter("bias", at::empty({channels}, options), kRequiresGrad)) {
  TORCH_CHECK(groups > 0 && channels % groups == 0, channels, " channels in ", groups, " groups");
}

torch::Tensor GroupNormImpl::forward(const torch::Tensor& x) const {
  return at::group_norm(x, groups_, weight_, bias_, eps_);
}

LayerNormImpl::LayerNormImpl(int64_t channels, double eps, const at::TensorOptions& options)
    : channels_(channels),
      eps_(eps),
      weight_(register_parameter("weight", at::empty({channels}, options), kRequiresGrad)),
      bias_(register_parameter("bias", at::empty({channels}, options), kRequiresGrad)) {}

torch::Tensor LayerNormImpl::forward(const torch::Tensor& x) const {
  return at::layer_norm(x, {channels_}, weight_, bias_, eps_);
}

EmbeddingImpl::EmbeddingImpl(int64_t count, int64_t channels, const at::TensorOptions& options)
    : weight_(register_parameter("weight", at::empty({count, channels}, options), kRequiresGrad)) {}

torch::Tensor EmbeddingImpl::forward(const torch::Tensor& ids) const {
  return at::embedding(weight_, ids);
}

}  // namespace antidiffusion
