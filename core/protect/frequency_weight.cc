#include "core/protect/frequency_weight.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/fft_fftfreq.h>
#include <ATen/ops/fft_irfft2.h>
#include <ATen/ops/fft_rfft2.h>
#include <ATen/ops/fft_rfftfreq.h>
#include <ATen/ops/hypot.h>
#include <ATen/ops/tensor.h>

#include <vector>

#include "core/protect/jpeg_tables.h"

namespace antidiffusion {
namespace {

constexpr double kHalfWaves = 2 * kJpegBlock;  // in a block, of one cycle a pixel

// By the number of half waves in a block, 0..7: the mean of the two axes.
at::Tensor LumaSteps() {
  std::vector<float> steps;
  for (size_t i = 0; i < kJpegBlock; ++i) {
    steps.push_back(static_cast<float>(kJpegLuma[i] + kJpegLuma[i * kJpegBlock]) / 2);
  }
  return at::tensor(steps, at::kFloat);
}

}  // namespace

FrequencyWeight::FrequencyWeight(int64_t height, int64_t width, double scale, double power,
                                 const at::TensorOptions& options) {
  const at::Tensor rows = at::fft_fftfreq(height, scale, at::kFloat).unsqueeze(1);
  const at::Tensor columns = at::fft_rfftfreq(width, scale, at::kFloat).unsqueeze(0);
  constexpr int64_t last = kJpegBlock - 1;
  const at::Tensor waves = (at::hypot(rows, columns) * kHalfWaves).clamp_max(last);
  const at::Tensor below = waves.to(at::kLong).clamp_max(last - 1);
  const at::Tensor steps = LumaSteps();
  const at::Tensor step =
      steps.index({below}) + (waves - below) * (steps.index({below + 1}) - steps.index({below}));
  weights_ = (step / steps[last]).pow(power).to(options.device());
}

at::Tensor FrequencyWeight::Apply(const at::Tensor& gradient) const {
  return at::fft_irfft2(at::fft_rfft2(gradient) * weights_,
                        at::IntArrayRef{gradient.size(2), gradient.size(3)});
}

}  // namespace antidiffusion
