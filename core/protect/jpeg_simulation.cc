#include "core/protect/jpeg_simulation.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/replication_pad2d.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/upsample_nearest2d.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "core/protect/jpeg_tables.h"

namespace antidiffusion {
namespace {

constexpr int kBlock = kJpegBlock;
constexpr int kUnit = 16;  // pixels that a coded unit is wide, with halved chroma

// [8,8] of quantiser steps, in levels.
at::Tensor Quantiser(const JpegTable& table, int quality, const at::TensorOptions& options) {
  const int scale = quality < 50 ? 5000 / quality : 200 - 2 * quality;
  std::vector<float> steps;
  for (const int entry : table) {
    steps.push_back(static_cast<float>(std::clamp((entry * scale + 50) / 100, 1, 255)));
  }
  return at::tensor(steps, at::kFloat).view({kBlock, kBlock}).to(options);
}

// The orthonormal DCT-II, [8,8]: coefficients = D x D^T.
at::Tensor Cosines(const at::TensorOptions& options) {
  std::vector<float> values;
  for (int k = 0; k < kBlock; ++k) {
    const double norm = std::sqrt((k == 0 ? 1.0 : 2.0) / kBlock);
    for (int n = 0; n < kBlock; ++n) {
      values.push_back(
          static_cast<float>(norm * std::cos(std::numbers::pi * (n + 0.5) * k / kBlock)));
    }
  }
  return at::tensor(values, at::kFloat).view({kBlock, kBlock}).to(options);
}

at::Tensor StraightThroughRound(const at::Tensor& values) {
  return values + (values.round() - values).detach();
}

// One plane [1,1,H,W] in levels about 0; sides are multiples of 8.
at::Tensor CodePlane(const at::Tensor& plane, const JpegTable& table, int quality) {
  const at::Tensor cosines = Cosines(plane.options());
  const at::Tensor steps = Quantiser(table, quality, plane.options());
  const int64_t rows = plane.size(2) / kBlock;
  const int64_t columns = plane.size(3) / kBlock;
  const at::Tensor blocks = plane.view({rows, kBlock, columns, kBlock}).permute({0, 2, 1, 3});
  const at::Tensor coefficients = at::matmul(at::matmul(cosines, blocks), cosines.t());
  const at::Tensor kept = StraightThroughRound(coefficients / steps) * steps;
  const at::Tensor back = at::matmul(at::matmul(cosines.t(), kept), cosines);
  return back.permute({0, 2, 1, 3}).reshape({1, 1, rows * kBlock, columns * kBlock});
}

}  // namespace

at::Tensor SimulateJpeg(const at::Tensor& image, int quality) {
  const int64_t height = image.size(2);
  const int64_t width = image.size(3);
  const auto missing = [](int64_t side) { return (kUnit - side % kUnit) % kUnit; };
  at::Tensor levels = StraightThroughRound((image + 1) * 127.5);
  levels = at::replication_pad2d(levels, {0, missing(width), 0, missing(height)});
  const at::Tensor red = levels.slice(1, 0, 1);
  const at::Tensor green = levels.slice(1, 1, 2);
  const at::Tensor blue = levels.slice(1, 2, 3);
  // ITU T.871; luma about 128, chroma about 0.
  const at::Tensor luma = 0.299 * red + 0.587 * green + 0.114 * blue;
  const at::Tensor blue_chroma = (blue - luma) / 1.772;
  const at::Tensor red_chroma = (red - luma) / 1.402;
  const auto code_chroma = [&](const at::Tensor& plane) {
    const at::Tensor coded = CodePlane(at::avg_pool2d(plane, {2, 2}), kJpegChroma, quality);
    return at::upsample_nearest2d(coded, {plane.size(2), plane.size(3)});
  };
  const at::Tensor y = CodePlane(luma - 128, kJpegLuma, quality) + 128;
  const at::Tensor cb = code_chroma(blue_chroma);
  const at::Tensor cr = code_chroma(red_chroma);
  const at::Tensor decoded =
      at::cat({y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb}, 1);
  return decoded.slice(2, 0, height).slice(3, 0, width) / 127.5 - 1;
}

}  // namespace antidiffusion
