#include "core/image/visibility.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <opencv2/core.hpp>
#include <vector>

#include "core/base/status_macros.h"
#include "core/image/catch_exceptions.h"
#include "core/image/cielab.h"
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

// CIELAB's a* and b* of sRGB bytes (IEC 61966-2-1, CIE 15; white D65). OpenCV's conversion is off
// by 5 % of a small shift.
class ChromaOf {
 public:
  ChromaOf() {
    for (size_t byte = 0; byte < linear_.size(); ++byte) {
      const double s = static_cast<double>(byte) / 255;
      linear_[byte] =
          static_cast<float>(s <= kSrgbLinearEnd ? s / 12.92 : std::pow((s + 0.055) / 1.055, 2.4));
    }
  }

  cv::Vec2f operator()(const cv::Vec3b& rgb) const {
    const float r = linear_[rgb[0]];
    const float g = linear_[rgb[1]];
    const float b = linear_[rgb[2]];
    float f[3];
    for (int i = 0; i < 3; ++i) {
      f[i] = Compressed(static_cast<float>(kWhiteXyzOfRgb[i][0]) * r +
                        static_cast<float>(kWhiteXyzOfRgb[i][1]) * g +
                        static_cast<float>(kWhiteXyzOfRgb[i][2]) * b);
    }
    return {500 * (f[0] - f[1]), 200 * (f[1] - f[2])};
  }

 private:
  static float Compressed(float t) {
    return t > static_cast<float>(kLabLinearEnd) ? std::cbrt(t)
                                                 : static_cast<float>(kLabSlope) * t + 16.0F / 116;
  }

  std::array<float, 256> linear_{};
};

// a* and b* of what a band of rows changed: float, two channels.
cv::Mat ChromaChange(const cv::Mat& before, const cv::Mat& after, const ChromaOf& chroma) {
  cv::Mat change(before.size(), CV_32FC2);
  for (int y = 0; y < before.rows; ++y) {
    const auto* const from = before.ptr<cv::Vec3b>(y);
    const auto* const to = after.ptr<cv::Vec3b>(y);
    auto* const out = change.ptr<cv::Vec2f>(y);
    for (int x = 0; x < before.cols; ++x) {
      out[x] = from[x] == to[x] ? cv::Vec2f(0, 0) : chroma(to[x]) - chroma(from[x]);
    }
  }
  return change;
}

// The shift of every block, row by row of blocks: whole images in CIELAB would take gigabytes.
std::vector<double> ChromaShifts(const Image& before, const Image& after) {
  const ChromaOf chroma;
  const std::vector<int> rows = BlockStarts(before.height, kChromaSide);
  const std::vector<int> columns = BlockStarts(before.width, kChromaSide);
  std::vector<double> shifts;
  for (size_t row = 0; row + 1 < rows.size(); ++row) {
    const cv::Mat change = ChromaChange(Rows(before, rows[row], rows[row + 1]),
                                        Rows(after, rows[row], rows[row + 1]), chroma);
    for (size_t column = 0; column + 1 < columns.size(); ++column) {
      const cv::Scalar mean = cv::mean(change.colRange(columns[column], columns[column + 1]));
      shifts.push_back(std::hypot(mean[0], mean[1]));
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
