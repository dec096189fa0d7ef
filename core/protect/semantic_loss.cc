#include "core/protect/semantic_loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <map>
#include <vector>

namespace antidiffusion {
namespace {

// Of maps [...,positions,T]; the mean over all but the last two sizes.
at::Tensor Measure(const at::Tensor& maps, SemanticForm form) {
  switch (form) {
    case SemanticForm::kClamped:
      return (maps * 100).clamp(0, 1).square().mean();
    case SemanticForm::kStartToken:
      return 1 - maps.select(-1, 0).mean();
    case SemanticForm::kConcentration:
    case SemanticForm::kOfMode:
      break;
  }
  return maps.size(-1) * maps.square().mean();
}

}  // namespace

at::Tensor SemanticLoss(const AttentionCapture& capture, const SemanticLossOptions& options) {
  std::map<int64_t, std::vector<at::Tensor>> by_positions;
  for (const at::Tensor& layer : capture.probabilities) {
    const at::Tensor heads = layer.flatten(0, 1);  // [heads,positions,T]
    by_positions[heads.size(1)].push_back(options.all_heads ? heads
                                                            : heads.slice(0, heads.size(0) / 2));
  }
  if (by_positions.empty()) return at::zeros({}, at::kFloat);
  std::vector<at::Tensor> losses;
  for (const auto& [positions, maps] : by_positions) {
    const at::Tensor stack = at::cat(maps, 0).to(at::kFloat);
    losses.push_back(
        Measure(options.mean_heads ? stack.sum(0) / stack.size(0) : stack, options.form));
  }
  return losses.size() == 1 ? losses.front() : at::stack(losses).mean();
}

}  // namespace antidiffusion
