// What the cross-attention of a UNet pass says about where the prompt's tokens are.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/models/attention_capture.h"
#include "core/protect/plan.h"

namespace antidiffusion {

// The layers whose maps a pass has to keep for a measure.
CapturedLayers CapturedOf(SemanticLayers layers);

// The semantic disturbance loss (Zheng et al. 2025) of captured probabilities
// [1,heads,positions,T], a scalar on their graph, unweighted; 0 without a captured layer.
// M [positions,T] is their mean over layers and heads, or the map of one head of one layer.
//   T * mean(M^2)               1/T * ... 1: the mean over positions of the chance that two draws
//                               from a row meet the same token; least when attention says nothing
//   mean(clamp(100 M, 0, 1)^2)  kClamped: no gradient where M > 0.01
//   1 - mean(M[:,0])            kStartToken: 0 when every position looks at the start token alone,
//                               which means nothing
// Layers of different sides have a loss each, and so have heads without `mean_heads`: the result is
// the mean of theirs.
at::Tensor SemanticLoss(const AttentionCapture& capture, const SemanticMeasure& measure);

}  // namespace antidiffusion
