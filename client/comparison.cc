#include "client/comparison.h"

#include <algorithm>
#include <cstdint>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "absl/strings/str_cat.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "core/image/catch_exceptions.h"
#include "core/image/similarity.h"

namespace antidiffusion {
namespace {

constexpr int kGap = 8;       // pixels between and around panels
constexpr int kCaption = 24;  // pixels above each panel
constexpr int kPanels = 3;
constexpr int kMinPanel = 192;  // panels narrower than this are enlarged
constexpr double kInk = 32;     // of captions, on white

cv::Mat ToRgb(const Image& image) {
  cv::Mat samples(image.height, image.width, CV_8UC(image.channels),
                  const_cast<uint8_t*>(image.pixels.data()));
  if (image.channels == 3) return samples;
  cv::Mat rgb;
  cv::cvtColor(samples, rgb, cv::COLOR_GRAY2RGB);
  return rgb;
}

cv::Mat AmplifiedDifference(const cv::Mat& original, const cv::Mat& changed, double factor) {
  cv::Mat difference, shown;
  cv::subtract(changed, original, difference, cv::noArray(), CV_16S);
  difference.convertTo(shown, CV_8U, factor, 128);
  return shown;
}

// The size of each panel of a row whose images are `stored`.
cv::Size PanelSize(const cv::Size& stored, int max_panel) {
  if (stored.width > max_panel) {
    const int64_t height = int64_t{stored.height} * max_panel / stored.width;
    return {max_panel, static_cast<int>(std::max<int64_t>(1, height))};
  }
  const int wanted = (kMinPanel + stored.width - 1) / stored.width;
  const int times = std::max(1, std::min(wanted, max_panel / stored.width));
  return stored * times;
}

void DrawPanel(cv::Mat& canvas, const cv::Point& at, const cv::Size& size, const cv::Mat& image,
               const std::string& caption) {
  cv::Mat scaled;
  const bool smaller = size.width < image.cols;
  cv::resize(image, scaled, size, 0, 0, smaller ? cv::INTER_AREA : cv::INTER_NEAREST);
  scaled.copyTo(canvas(cv::Rect(at.x, at.y + kCaption, size.width, size.height)));
  // A caption longer than its panel is cut off.
  cv::Mat strip = canvas(cv::Rect(at.x, at.y, size.width, kCaption));
  cv::putText(strip, caption, cv::Point(0, kCaption - 8), cv::FONT_HERSHEY_SIMPLEX, 0.45,
              cv::Scalar::all(kInk), 1, cv::LINE_AA);
}

absl::Status CheckInputs(const std::vector<ComparisonRow>& rows, const ComparisonOptions& options) {
  if (rows.empty()) return absl::InvalidArgumentError("nothing to compare");
  if (!(options.amplification >= 1 && options.amplification <= 255)) {
    return InvalidField("amplification", absl::StrCat(options.amplification), "[1, 255]");
  }
  if (options.max_width < 256 || options.max_width > 65'536) {
    return InvalidField("max_width", absl::StrCat(options.max_width), "[256, 65536]");
  }
  for (const ComparisonRow& row : rows) {
    AD_RETURN_IF_ERROR(MaxDifference(row.original, row.protected_image).status());
  }
  return absl::OkStatus();
}

absl::StatusOr<Image> Compare(const std::vector<ComparisonRow>& rows,
                              const ComparisonOptions& options) {
  AD_RETURN_IF_ERROR(CheckInputs(rows, options));
  const int max_panel = (options.max_width - (kPanels + 1) * kGap) / kPanels;
  std::vector<cv::Size> sizes;
  int width = 0, height = kGap;
  for (const ComparisonRow& row : rows) {
    sizes.push_back(PanelSize({row.original.width, row.original.height}, max_panel));
    width = std::max(width, kGap + kPanels * (sizes.back().width + kGap));
    height += kCaption + sizes.back().height + kGap;
  }
  Image result{width, height, 3, {}};
  result.pixels.resize(result.size());
  cv::Mat canvas(height, width, CV_8UC3, result.pixels.data());
  canvas.setTo(cv::Scalar::all(255));

  cv::Point at(kGap, kGap);
  for (size_t i = 0; i < rows.size(); ++i) {
    const ComparisonRow& row = rows[i];
    const cv::Mat original = ToRgb(row.original), changed = ToRgb(row.protected_image);
    const cv::Point step(sizes[i].width + kGap, 0);
    const std::string name = row.label.empty() ? "" : absl::StrCat(row.label, ": ");
    DrawPanel(canvas, at, sizes[i], original, name + "original");
    DrawPanel(canvas, at + step, sizes[i], changed, "protected");
    DrawPanel(canvas, at + 2 * step, sizes[i],
              AmplifiedDifference(original, changed, options.amplification),
              absl::StrCat("difference x ", options.amplification));
    at.y += kCaption + sizes[i].height + kGap;
  }
  return result;
}

}  // namespace

absl::StatusOr<Image> CompareImages(const std::vector<ComparisonRow>& rows,
                                    const ComparisonOptions& options) {
  return CatchExceptions(absl::StatusCode::kInternal, [&] { return Compare(rows, options); });
}

}  // namespace antidiffusion
