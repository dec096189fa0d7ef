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

// Sets to 0 what `difference` [1,C,H,W] has in the margins.
void ClearMargins(const at::Tensor& difference, const Margins& margins) {
  const int64_t height = difference.size(2);
  const int64_t width = difference.size(3);
  difference.slice(2, 0, margins.top).zero_();
  difference.slice(2, std::max<int64_t>(0, height - margins.bottom), height).zero_();
  difference.slice(3, 0, margins.left).zero_();
  difference.slice(3, width - margins.right, width).zero_();
}

// The share of a shift that is too much, 0..1, where `length` is its length.
at::Tensor Excess(const at::Tensor& length, double bound) {
  return (1 - bound / length.clamp_min(1e-6)).clamp_min(0);
}

// Rows [first, last) of an image.
Image Rows(const Image& image, int64_t first, int64_t last) {
  const auto row = static_cast<int64_t>(image.width) * image.channels;
  return {image.width,
          static_cast<int>(last - first),
          image.channels,
          {image.pixels.begin() + first * row, image.pixels.begin() + last * row}};
}

// `changed`, its change of `image` limited and then weakened by `strength`, band by band: a large
// image needs little more memory than its bytes.
Image Limited(const Image& image, const Image& changed, int bound, double chroma, double strength,
              const Margins& margins) {
  const auto reach = static_cast<int64_t>(std::ceil(6 * kVisibleSigma));
  Image limited = {image.width, image.height, image.channels, {}};
  limited.pixels.reserve(image.pixels.size());
  for (int64_t first = 0; first < image.height; first += kBandRows) {
    const int64_t last = std::min<int64_t>(first + kBandRows, image.height);
    const int64_t top = std::max<int64_t>(0, first - reach);
    const int64_t bottom = std::min<int64_t>(last + reach, image.height);
    const at::Tensor original = ImageToTensor(Rows(image, top, bottom));
    const Margins seen = {
        .top = std::max(0, margins.top - static_cast<int>(top)),
        .bottom = std::max(0, margins.bottom - image.height + static_cast<int>(bottom)),
        .left = margins.left,
        .right = margins.right};
    const at::Tensor projected = VisibilityLimit(original, 1, chroma, seen)
                                     .Project(ImageToTensor(Rows(changed, top, bottom)));
    const Image band =
        ApplyDifference(Rows(image, first, last),
                        strength * (projected - original).slice(2, first - top, last - top), bound);
    limited.pixels.insert(limited.pixels.end(), band.pixels.begin(), band.pixels.end());
  }
  return limited;
}

}  // namespace

VisibilityLimit::VisibilityLimit(const at::Tensor& original, double scale, double chroma,
                                 const Margins& margins)
    : original_(original),
      lab_(ToLab(original)),
      sigma_(kVisibleSigma / scale),
      chroma_(chroma),
      margins_(margins) {}

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
  const at::Tensor change = moved - original_ - Excess(colour, chroma_) * (low - luma) -
                            Excess(lightness, kLightnessRoom * chroma_) * luma;
  ClearMargins(change, margins_);
  return original_ + change;
}

absl::StatusOr<Image> ApplyUnseen(const Image& image, const at::Tensor& difference, int bound,
                                  double chroma, const Margins& margins,
                                  const ProgressMeter& progress) {
  ClearMargins(difference, margins);
  Image changed = ApplyDifference(image, difference, bound);
  double inner = chroma;  // what the change is limited to; the bytes are rounded and clamped after
  for (int round = 0; round < kRounds; ++round) {
    AD_RETURN_IF_ERROR(progress.Check(Stage::kPgd));
    AD_ASSIGN_OR_RETURN(const Visibility seen, MeasureVisibility(image, changed));
    if (seen.chroma_bias <= chroma && seen.chroma_bias_95 <= kBlocksRoom * chroma) return changed;
    // What left is what the next round begins from: clamping is a part of it.
    const double strength = round < kTighteningRounds ? 1 : kTighter;
    changed = Limited(image, changed, bound, inner, strength, margins);
    inner *= kTighter;
  }
  return InvalidField("options.visibility", absl::StrCat(chroma),
                      "a limit that some change of this image keeps");
}

}  // namespace antidiffusion
