#include "core/image/change_room.h"

#include <algorithm>
#include <cstddef>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "core/image/margins.h"

namespace antidiffusion {
namespace {

constexpr int kWhole = 255;
constexpr int kTextureWindow = 7;      // pixels
constexpr double kFlatDeviation = 9;   // levels
constexpr double kBusyDeviation = 30;  // levels
constexpr int kBandRows = 512;         // that are measured at once

cv::Mat Samples(const Image& image) {
  return {image.height, image.width, CV_8UC(image.channels),
          const_cast<uint8_t*>(image.pixels.data())};
}

// Standard deviations of luma about each pixel: float, of the size of `samples`.
cv::Mat Deviations(const cv::Mat& samples) {
  cv::Mat luma = samples;
  if (samples.channels() == 3) cv::cvtColor(samples, luma, cv::COLOR_RGB2GRAY);
  const cv::Size window(kTextureWindow, kTextureWindow);
  cv::Mat mean;
  cv::Mat square;
  cv::boxFilter(luma, mean, CV_32F, window, {-1, -1}, true, cv::BORDER_REFLECT);
  cv::sqrBoxFilter(luma, square, CV_32F, window, {-1, -1}, true, cv::BORDER_REFLECT);
  cv::Mat deviation = cv::max(square - mean.mul(mean), 0);
  cv::sqrt(deviation, deviation);
  return deviation;
}

// Band by band: a large image in floats would take gigabytes.
void FillByTexture(const Image& image, double texture, cv::Mat& room) {
  constexpr int kReach = kTextureWindow / 2;
  const cv::Mat samples = Samples(image);
  for (int first = 0; first < image.height; first += kBandRows) {
    const int last = std::min(first + kBandRows, image.height);
    const int top = std::max(0, first - kReach);
    const cv::Mat deviation =
        Deviations(samples.rowRange(top, std::min(last + kReach, image.height)))
            .rowRange(first - top, last - top);
    const cv::Mat share =
        cv::min(cv::max(deviation, kFlatDeviation), kBusyDeviation) / kBusyDeviation;
    cv::Mat band = room.rowRange(first, last);
    share.convertTo(band, CV_8U, kWhole * texture, kWhole * (1 - texture));
  }
}

}  // namespace

Image FindRoom(const Image& image, const std::vector<uint8_t>& alpha, double texture) {
  Image found = {image.width, image.height, 1, {}};
  found.pixels.assign(found.size(), kWhole);
  cv::Mat room = Samples(found);
  if (texture > 0) FillByTexture(image, texture, room);
  const Margins margins = FindMargins(image);
  room.rowRange(0, margins.top).setTo(0);
  room.rowRange(image.height - margins.bottom, image.height).setTo(0);
  room.colRange(0, margins.left).setTo(0);
  room.colRange(image.width - margins.right, image.width).setTo(0);
  for (size_t i = 0; i < alpha.size(); ++i) {
    if (alpha[i] == 0) found.pixels[i] = 0;
  }
  return found;
}

}  // namespace antidiffusion
