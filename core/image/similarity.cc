#include "core/image/similarity.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/image/catch_exceptions.h"

namespace antidiffusion {
namespace {

constexpr int kWindow = 11;
constexpr double kSigma = 1.5;
constexpr int kBandPixels = 1 << 18;
// Taken off before squaring: a variance as the difference of two large floats would lose its
// digits.
constexpr double kMiddle = 128;

absl::Status CheckShapes(const Image& a, const Image& b) {
  if (a.width == b.width && a.height == b.height && a.channels == b.channels &&
      a.pixels.size() == a.size() && b.pixels.size() == b.size() && a.size() > 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("images of different shapes: ", a.width, "x",
                                                 a.height, "x", a.channels, " and ", b.width, "x",
                                                 b.height, "x", b.channels));
}

cv::Mat Blur(const cv::Mat& image) {
  cv::Mat blurred;
  cv::GaussianBlur(image, blurred, cv::Size(kWindow, kWindow), kSigma, kSigma, cv::BORDER_REFLECT);
  return blurred;
}

// Equation 13 of Wang et al. 2004 for every pixel. `x` and `y` are less kMiddle.
cv::Mat SsimMap(const cv::Mat& x, const cv::Mat& y) {
  constexpr double kC1 = 0.01 * 255 * 0.01 * 255, kC2 = 0.03 * 255 * 0.03 * 255;
  cv::Mat mean_x = Blur(x), mean_y = Blur(y);
  const cv::Mat variance_x = Blur(x.mul(x)) - mean_x.mul(mean_x);
  const cv::Mat variance_y = Blur(y.mul(y)) - mean_y.mul(mean_y);
  const cv::Mat covariance = Blur(x.mul(y)) - mean_x.mul(mean_y);
  mean_x += kMiddle;
  mean_y += kMiddle;
  const cv::Mat numerator = (2 * mean_x.mul(mean_y) + kC1).mul(2 * covariance + kC2);
  const cv::Mat denominator =
      (mean_x.mul(mean_x) + mean_y.mul(mean_y) + kC1).mul(variance_x + variance_y + kC2);
  return numerator / denominator;
}

// Rows `first` to `last` of a channel, less kMiddle.
cv::Mat Rows(const Image& image, int channel, int first, int last) {
  const cv::Mat samples(image.height, image.width, CV_8UC(image.channels),
                        const_cast<uint8_t*>(image.pixels.data()));
  cv::Mat one, as_float;
  cv::extractChannel(samples.rowRange(first, last), one, channel);
  one.convertTo(as_float, CV_32F, 1, -kMiddle);
  return as_float;
}

// The mean over the pixels whose window lies inside of the image, taken in bands of rows: the maps
// of a whole photograph of 50 megapixels would take gigabytes.
double ChannelSsim(const Image& a, const Image& b, int channel) {
  const int border_x = std::min(kWindow / 2, (a.width - 1) / 2);
  const int border_y = std::min(kWindow / 2, (a.height - 1) / 2);
  const int end = a.height - border_y;
  const int band = std::max(1, kBandPixels / a.width);
  double sum = 0;
  for (int first = border_y; first < end; first += band) {
    const int last = std::min(first + band, end);
    const cv::Mat map = SsimMap(Rows(a, channel, first - border_y, last + border_y),
                                Rows(b, channel, first - border_y, last + border_y));
    const cv::Rect inside(border_x, border_y, a.width - 2 * border_x, last - first);
    sum += cv::sum(map(inside))[0];
  }
  return sum / (static_cast<double>(a.width - 2 * border_x) * (end - border_y));
}

}  // namespace

absl::StatusOr<int> MaxDifference(const Image& a, const Image& b) {
  AD_RETURN_IF_ERROR(CheckShapes(a, b));
  int largest = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) {
    largest = std::max(largest, std::abs(int{a.pixels[i]} - int{b.pixels[i]}));
  }
  return largest;
}

absl::StatusOr<double> Psnr(const Image& a, const Image& b) {
  AD_RETURN_IF_ERROR(CheckShapes(a, b));
  int64_t sum = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) {
    const int difference = int{a.pixels[i]} - int{b.pixels[i]};
    sum += int64_t{difference} * difference;
  }
  if (sum == 0) return std::numeric_limits<double>::infinity();
  const double mean = static_cast<double>(sum) / static_cast<double>(a.pixels.size());
  return 10 * std::log10(255.0 * 255.0 / mean);
}

absl::StatusOr<double> Ssim(const Image& a, const Image& b) {
  return CatchExceptions(absl::StatusCode::kInternal, [&]() -> absl::StatusOr<double> {
    AD_RETURN_IF_ERROR(CheckShapes(a, b));
    if (a.pixels == b.pixels) return 1.0;
    double sum = 0;
    for (int channel = 0; channel < a.channels; ++channel) {
      sum += ChannelSsim(a, b, channel);
    }
    return sum / a.channels;
  });
}

}  // namespace antidiffusion
