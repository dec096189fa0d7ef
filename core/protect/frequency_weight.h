// Leads PGD to what eyes see less of: fine patterns.
#pragma once

#include <ATen/core/Tensor.h>

namespace antidiffusion {

// Weighs the frequencies of a gradient by the quantiser's steps of JPEG's luma (ITU T.81, table
// K.1, the mean of its two axes) to a power: what JPEG keeps coarsely is seen less. Thread-safe.
class FrequencyWeight {
 public:
  // For gradients [1,C,height,width] on `options`' device. `scale`: pixels of the image for one of
  // theirs. `power` 0..1; at 0 every frequency counts alike.
  FrequencyWeight(int64_t height, int64_t width, double scale, double power,
                  const at::TensorOptions& options);

  at::Tensor Apply(const at::Tensor& gradient) const;

 private:
  at::Tensor weights_;  // [height, width / 2 + 1]
};

}  // namespace antidiffusion
