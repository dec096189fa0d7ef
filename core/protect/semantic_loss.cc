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

CapturedLayers CapturedOf(SemanticLayers layers) {
  switch (layers) {
    case SemanticLayers::kWhole:
      return {.levels = 1U << 0};
    case SemanticLayers::kHalf:
      return {.levels = 1U << 1};
    case SemanticLayers::kQuarter:
      return {.levels = 1U << 2};
    case SemanticLayers::kMid:
      return {.levels = 0, .mid = true};
    case SemanticLayers::kAll:
      return {.levels = ~0U, .mid = true};
  }
  return {};
}

at::Tensor SemanticLoss(const AttentionCapture& capture, const SemanticMeasure& measure) {
  std::map<int64_t, std::vector<at::Tensor>> by_positions;
  for (const at::Tensor& layer : capture.probabilities) {
    const at::Tensor heads = layer.flatten(0, 1);  // [heads,positions,T]
    by_positions[heads.size(1)].push_back(measure.all_heads ? heads
                                                            : heads.slice(0, heads.size(0) / 2));
  }
  if (by_positions.empty()) return at::zeros({}, at::kFloat);
  std::vector<at::Tensor> losses;
  for (const auto& [positions, maps] : by_positions) {
    const at::Tensor stack = at::cat(maps, 0).to(at::kFloat);
    losses.push_back(
        Measure(measure.mean_heads ? stack.sum(0) / stack.size(0) : stack, measure.form));
  }
  return losses.size() == 1 ? losses.front() : at::stack(losses).mean();
}

}  // namespace antidiffusion
