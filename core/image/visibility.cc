#include "core/image/visibility.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <vector>

#include "core/base/status_macros.h"
#include "core/image/catch_exceptions.h"
#include "core/image/similarity.h"

namespace antidiffusion {
namespace {

constexpr int kChromaSide = 32;
constexpr int kPatchSide = 16;
constexpr double kShare = 0.95;

// Blocks of at least `least` and less than 2 * least pixels that fill `length`; one, where it is
// shorter. Where the i-th begins; the last entry is `length`.
std::vector<int> BlockStarts(int length, int least) {
  const int count = std::max(1, length / least);
  std::vector<int> starts;
  for (int i = 0; i <= count; ++i) {
    starts.push_back(static_cast<int>(int64_t{i} * length / count));
  }
  return starts;
}

cv::Mat Rows(const Image& image, int first, int last) {
  const cv::Mat samples(image.height, image.width, CV_8UC(image.channels),
                        const_cast<uint8_t*>(image.pixels.data()));
  return samples.rowRange(first, last);
}

cv::Mat Lab(const cv::Mat& rgb) {
  cv::Mat scaled;
  cv::Mat lab;
  rgb.convertTo(scaled, CV_32F, 1.0 / 255);
  cv::cvtColor(scaled, lab, cv::COLOR_RGB2Lab);
  return lab;
}

// The shift of every block, row by row of blocks: whole images in CIELAB would take gigabytes.
std::vector<double> ChromaShifts(const Image& before, const Image& after) {
  const std::vector<int> rows = BlockStarts(before.height, kChromaSide);
  const std::vector<int> columns = BlockStarts(before.width, kChromaSide);
  std::vector<double> shifts;
  for (size_t row = 0; row + 1 < rows.size(); ++row) {
    const cv::Mat change =
        Lab(Rows(after, rows[row], rows[row + 1])) - Lab(Rows(before, rows[row], rows[row + 1]));
    for (size_t column = 0; column + 1 < columns.size(); ++column) {
      const cv::Scalar mean = cv::mean(change.colRange(columns[column], columns[column + 1]));
      shifts.push_back(std::hypot(mean[1], mean[2]));
    }
  }
  return shifts;
}

double LowFrequencyShare(const Image& before, const Image& after) {
  const std::vector<int> rows = BlockStarts(before.height, kPatchSide);
  const std::vector<int> columns = BlockStarts(before.width, kPatchSide);
  double all = 0;
  double low = 0;
  for (size_t row = 0; row + 1 < rows.size(); ++row) {
    cv::Mat change;
    cv::subtract(Rows(after, rows[row], rows[row + 1]), Rows(before, rows[row], rows[row + 1]),
                 change, cv::noArray(), CV_32F);
    all += change.dot(change);
    for (size_t column = 0; column + 1 < columns.size(); ++column) {
      const cv::Mat block = change.colRange(columns[column], columns[column + 1]);
      low += cv::norm(cv::mean(block), cv::NORM_L2SQR) * static_cast<double>(block.total());
    }
  }
  return all > 0 ? low / all : 0;
}

}  // namespace

absl::StatusOr<Visibility> MeasureVisibility(const Image& before, const Image& after) {
  return CatchExceptions(absl::StatusCode::kInternal, [&]() -> absl::StatusOr<Visibility> {
    AD_ASSIGN_OR_RETURN(const int largest, MaxDifference(before, after));
    Visibility visibility;
    if (largest == 0) return visibility;
    visibility.low_frequency_share = LowFrequencyShare(before, after);
    if (before.channels != 3) return visibility;
    std::vector<double> shifts = ChromaShifts(before, after);
    for (const double shift : shifts) visibility.chroma_bias += shift;
    visibility.chroma_bias /= static_cast<double>(shifts.size());
    const auto count = static_cast<double>(shifts.size());
    const auto at = shifts.begin() + static_cast<int64_t>(std::ceil(kShare * count)) - 1;
    std::nth_element(shifts.begin(), at, shifts.end());
    visibility.chroma_bias_95 = *at;
    return visibility;
  });
}

}  // namespace antidiffusion
