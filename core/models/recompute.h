// Memory for time: a part of a network whose inner results are not kept for back-propagation.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace antidiffusion {

using RecomputedBody = std::function<at::Tensor(const std::vector<at::Tensor>&)>;

// body(inputs), of which back-propagation keeps the inputs alone and computes the rest once more
// when it needs it (Chen et al. 2016): one more forward pass of `body`, and only one body's inner
// results at a time. Values and gradients, also those of weights that `body` uses, are the same bit
// for bit as without it where the device's kernels are deterministic. `body` must depend on its
// inputs and on weights only (no random numbers, nothing appended), must not give an input back,
// and is kept, with all that it refers to, until the gradient was taken. Autocast is as it is now
// in both passes. Where nothing asks for a gradient this is body(inputs).
at::Tensor Recomputed(RecomputedBody body, const std::vector<at::Tensor>& inputs);

}  // namespace antidiffusion
