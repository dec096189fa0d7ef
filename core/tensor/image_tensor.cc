#include "core/tensor/image_tensor.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_upsample_bicubic2d_aa.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/replication_pad2d.h>
#include <c10/util/Exception.h>

#include <cmath>

namespace antidiffusion {
namespace {

constexpr double kLevelsPerUnit = 127.5;  // [-1,1] spans 255 levels

// The samples as [1,C,H,W] uint8, sharing the image's memory.
at::Tensor Samples(const Image& image) {
  TORCH_CHECK(image.pixels.size() == image.size() && image.size() > 0 &&
                  (image.channels == 1 || image.channels == 3),
              "an image whose sizes do not add up: ", image.width, "x", image.height, "x",
              image.channels);
  return at::from_blob(const_cast<uint8_t*>(image.pixels.data()),
                       {1, image.height, image.width, image.channels}, at::kByte)
      .permute({0, 3, 1, 2});
}

// `samples` [1,C,H,W] of whole numbers in 0..255, on the CPU.
Image FromSamples(const at::Tensor& samples) {
  Image image{static_cast<int>(samples.size(3)),
              static_cast<int>(samples.size(2)),
              static_cast<int>(samples.size(1)),
              {}};
  image.pixels.resize(image.size());
  Samples(image).copy_(samples);
  return image;
}

void CheckIsImage(const at::Tensor& tensor) {
  TORCH_CHECK(
      tensor.dim() == 4 && tensor.size(0) == 1 && (tensor.size(1) == 1 || tensor.size(1) == 3),
      "not the tensor of one image: ", tensor.sizes());
}

}  // namespace

at::Tensor ImageToTensor(const Image& image) {
  const at::Tensor tensor = Samples(image).to(at::kFloat).div_(kLevelsPerUnit).sub_(1);
  return tensor.expand({1, 3, image.height, image.width}).contiguous();
}

Image TensorToImage(const at::Tensor& tensor) {
  CheckIsImage(tensor);
  const at::Tensor on_cpu = tensor.detach().to(at::kCPU, at::kFloat);
  return FromSamples(on_cpu.div(2).add_(0.5).clamp_(0, 1).mul_(255).nan_to_num_(0).round_());
}

at::Tensor Resize(const at::Tensor& tensor, int64_t height, int64_t width) {
  TORCH_CHECK(tensor.dim() == 4 && height > 0 && width > 0, "cannot resize ", tensor.sizes(),
              " to ", height, "x", width);
  if (tensor.size(2) == height && tensor.size(3) == width) return tensor;
  return at::_upsample_bicubic2d_aa(tensor, {height, width}, /*align_corners=*/false);
}

at::Tensor GaussianBlur(const at::Tensor& tensor, double sigma) {
  const auto radius = static_cast<int64_t>(std::ceil(3 * sigma));
  const at::Tensor distance = at::arange(-radius, radius + 1, at::kFloat);
  at::Tensor kernel = (distance.square() / (-2 * sigma * sigma)).exp();
  kernel = (kernel / kernel.sum()).to(tensor.device());
  const at::Tensor channels = tensor.transpose(0, 1);  // [C,1,H,W]
  const at::Tensor padded = at::replication_pad2d(channels, {radius, radius, radius, radius});
  const at::Tensor rows = at::conv2d(padded, kernel.view({1, 1, 1, -1}));
  return at::conv2d(rows, kernel.view({1, 1, -1, 1})).transpose(0, 1);
}

Image ApplyDifference(const Image& original, const at::Tensor& difference, int bound,
                      const Image& room) {
  CheckIsImage(difference);
  TORCH_CHECK(bound >= 0 && bound <= 255, "a bound of ", bound, " levels");
  at::Tensor levels = difference.detach().to(at::kCPU, at::kFloat);
  if (original.channels == 1 && levels.size(1) == 3) levels = levels.mean(1, /*keepdim=*/true);
  TORCH_CHECK(levels.size(1) == original.channels && levels.size(2) == original.height &&
                  levels.size(3) == original.width,
              "a difference of ", levels.sizes(), " for an image of ", original.width, "x",
              original.height, "x", original.channels);
  // Whole numbers from here on, so nothing is rounded after the clamp. Not a number: no change.
  levels = levels.mul(kLevelsPerUnit).nan_to_num_(0).round_().clamp_(-bound, bound);
  if (!room.pixels.empty()) {
    const at::Tensor bounds = RoomToTensor(room).mul_(bound).round_();
    levels = levels.clamp_(-bounds, bounds);
  }
  return FromSamples(levels.to(at::kShort).add_(Samples(original)).clamp_(0, 255));
}

at::Tensor RoomToTensor(const Image& room) {
  TORCH_CHECK(room.channels == 1, "a room of ", room.channels, " channels");
  return Samples(room).to(at::kFloat).div_(255);
}

}  // namespace antidiffusion
