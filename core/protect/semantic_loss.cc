#include "core/protect/semantic_loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>

#include <vector>

namespace antidiffusion {

at::Tensor SemanticLoss(const AttentionCapture& capture, const SemanticLossOptions& options) {
  if (capture.probabilities.empty()) return at::zeros({}, at::kFloat);
  std::vector<at::Tensor> maps;
  maps.reserve(capture.probabilities.size());
  for (const at::Tensor& layer : capture.probabilities) {
    const at::Tensor heads = layer.flatten(0, 1);  // [heads,positions,T]
    maps.push_back(options.all_heads ? heads : heads.slice(0, heads.size(0) / 2));
  }
  const at::Tensor stack = at::cat(maps, 0).to(at::kFloat);
  const at::Tensor mean = stack.sum(0) / stack.size(0);
  switch (options.measure) {
    case SemanticMeasure::kClamped:
      return (mean * 100).clamp(0, 1).square().mean();
    case SemanticMeasure::kStartToken:
      return 1 - mean.select(-1, 0).mean();
    case SemanticMeasure::kConcentration:
      break;
  }
  return mean.size(-1) * mean.square().mean();
}

}  // namespace antidiffusion
