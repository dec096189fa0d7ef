#include "core/protect/visibility_limit.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "core/image/cielab.h"
#include "core/image/visibility.h"
#include "core/tensor/image_tensor.h"

namespace antidiffusion {
namespace {

constexpr double kLeastSigma = 0.4;  // of the planes' pixels: below that each pixel is a patch
constexpr double kBlocksRoom = 1.0 / 0.6;
constexpr int64_t kBandRows = 512;  // of a large image that is limited at once
constexpr int kRounds = 24;
constexpr int kTighteningRounds = 12;
constexpr double kTighter = 0.85;

// CIELAB of sRGB in [-1,1], D65: [1,3,H,W] of L*, a*, b*.
at::Tensor ToLab(const at::Tensor& rgb) {
  const at::Tensor s = (rgb / 2 + 0.5).clamp(0, 1);
  const at::Tensor linear =
      at::where(s <= kSrgbLinearEnd, s / 12.92, ((s + 0.055) / 1.055).pow(2.4));
  const at::Tensor matrix =
      at::tensor(at::ArrayRef<double>(&kWhiteXyzOfRgb[0][0], 9), at::kFloat).view({3, 3, 1, 1});
  const at::Tensor xyz = at::conv2d(linear, matrix.to(rgb.device()));
  const at::Tensor f = at::where(xyz > kLabLinearEnd, xyz.clamp_min(1e-6).pow(1.0 / 3),
                                 kLabSlope * xyz + 16.0 / 116);
  const std::vector<at::Tensor> of = f.split(1, 1);
  return at::cat({116 * of[1] - 16, 500 * (of[0] - of[1]), 200 * (of[1] - of[2])}, 1);
}

// The share of a shift that is too much, 0..1, where `length` is its length.
at::Tensor Excess(const at::Tensor& length, double bound) {
  return (1 - bound / length.clamp_min(1e-6)).clamp_min(0);
}

// Rows [first, last) of an image; none of one without pixels.
Image Rows(const Image& image, int64_t first, int64_t last) {
  if (image.pixels.empty()) return {};
  const auto row = static_cast<int64_t>(image.width) * image.channels;
  return {image.width,
          static_cast<int>(last - first),
          image.channels,
          {image.pixels.begin() + first * row, image.pixels.begin() + last * row}};
}

// `changed`, its change of `image` limited and then weakened by `strength`, band by band: a large
// image needs little more memory than its bytes.
Image Limited(const Image& image, const Image& changed, int bound, const Image& room, double chroma,
              double strength) {
  const auto reach = static_cast<int64_t>(std::ceil(6 * kVisibleSigma));
  Image limited = {image.width, image.height, image.channels, {}};
  limited.pixels.reserve(image.pixels.size());
  for (int64_t first = 0; first < image.height; first += kBandRows) {
    const int64_t last = std::min<int64_t>(first + kBandRows, image.height);
    const int64_t top = std::max<int64_t>(0, first - reach);
    const int64_t bottom = std::min<int64_t>(last + reach, image.height);
    const at::Tensor original = ImageToTensor(Rows(image, top, bottom));
    const at::Tensor projected =
        VisibilityLimit(original, 1, chroma).Project(ImageToTensor(Rows(changed, top, bottom)));
    const at::Tensor change = (projected - original).slice(2, first - top, last - top);
    const Image band = ApplyDifference(Rows(image, first, last), strength * change, bound,
                                       Rows(room, first, last));
    limited.pixels.insert(limited.pixels.end(), band.pixels.begin(), band.pixels.end());
  }
  return limited;
}

}  // namespace

VisibilityLimit::VisibilityLimit(const at::Tensor& original, double scale, double chroma)
    : original_(original), lab_(ToLab(original)), sigma_(kVisibleSigma / scale), chroma_(chroma) {}

at::Tensor VisibilityLimit::Blur(const at::Tensor& planes) const {
  return sigma_ < kLeastSigma ? planes : GaussianBlur(planes, sigma_);
}

at::Tensor VisibilityLimit::Project(const at::Tensor& moved) const {
  const at::Tensor shift = Blur(ToLab(moved) - lab_);
  const at::Tensor low = Blur(moved - original_);
  const at::Tensor luma =
      (0.299 * low.slice(1, 0, 1) + 0.587 * low.slice(1, 1, 2) + 0.114 * low.slice(1, 2, 3));
  const at::Tensor colour = shift.slice(1, 1, 3).square().sum(1, /*keepdim=*/true).sqrt();
  const at::Tensor lightness = shift.slice(1, 0, 1).abs();
  return moved - Excess(colour, chroma_) * (low - luma) -
         Excess(lightness, kLightnessRoom * chroma_) * luma;
}

absl::StatusOr<Image> ApplyUnseen(const Image& image, const at::Tensor& difference, int bound,
                                  const Image& room, double chroma, const ProgressMeter& progress) {
  Image changed = ApplyDifference(image, difference, bound, room);
  double inner = chroma;  // what the change is limited to; the bytes are rounded and clamped after
  for (int round = 0; round < kRounds; ++round) {
    AD_RETURN_IF_ERROR(progress.Check(Stage::kPgd));
    AD_ASSIGN_OR_RETURN(const Visibility seen, MeasureVisibility(image, changed));
    if (seen.chroma_bias <= chroma && seen.chroma_bias_95 <= kBlocksRoom * chroma) return changed;
    // What left is what the next round begins from: clamping is a part of it.
    const double strength = round < kTighteningRounds ? 1 : kTighter;
    changed = Limited(image, changed, bound, room, inner, strength);
    inner *= kTighter;
  }
  return InvalidField("options.visibility", absl::StrCat(chroma),
                      "a limit that some change of this image keeps");
}

}  // namespace antidiffusion
