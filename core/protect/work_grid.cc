#include "core/protect/work_grid.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_details.h"

namespace antidiffusion {
namespace {

constexpr int64_t kMaxPieceRatio = 4;  // long side of a piece, in short sides
constexpr int64_t kMaxPieces = 64;
// Pieces of four short sides that overlap by one are three apart.
constexpr int64_t kMaxImageRatio = kMaxPieces * (kMaxPieceRatio - 1) + 1;
constexpr int64_t kLatentMultiple = 4;  // the captured attention grid is a quarter of the latent
constexpr int64_t kLargeNativeSide = 512;

// The multiple of `step` nearest to `value` * numerator / denominator.
int64_t NearestMultiple(int64_t numerator, int64_t denominator, int64_t step) {
  return (2 * numerator + denominator * step) / (2 * denominator * step) * step;
}

// Starts of pieces of length `piece`, evenly spread, that cover `length` and overlap by `overlap`
// or more.
std::vector<int> PieceStarts(int length, int piece, int overlap) {
  if (length <= piece) return {0};
  const int stride = piece - overlap;
  const int count = (length - overlap + stride - 1) / stride;
  std::vector<int> starts;
  starts.reserve(count);
  for (int64_t i = 0; i < count; ++i) {
    starts.push_back(static_cast<int>(i * (length - piece) / (count - 1)));
  }
  return starts;
}

// Weights of a piece along the long axis: 1, falling linearly to its ends where it overlaps others.
at::Tensor RampWeights(int start, int end, int previous_end, int next_start) {
  const at::Tensor position = at::arange(start, end, at::kFloat) + 0.5;
  at::Tensor weights = at::ones({end - start}, at::kFloat);
  if (previous_end > start) weights = weights.minimum((position - start) / (previous_end - start));
  if (next_start < end) weights = weights.minimum((end - position) / (end - next_start));
  return weights;
}

}  // namespace

absl::StatusOr<WorkGrid> PlanWork(int image_height, int image_width, int64_t native_side,
                                  int64_t latent_factor) {
  const int image_short = std::min(image_height, image_width);
  const int image_long = std::max(image_height, image_width);
  const bool wide = image_width >= image_height;
  if (image_long > kMaxImageRatio * image_short) {
    return InvalidField("image", absl::StrCat(image_width, "x", image_height),
                        absl::StrCat("a long side of at most ", kMaxImageRatio, " short sides"));
  }
  const int64_t step = std::lcm(native_side < kLargeNativeSide ? int64_t{32} : int64_t{64},
                                kLatentMultiple * latent_factor);
  int64_t work_long = native_side;
  if (image_long > image_short) {
    work_long = std::max(native_side,
                         NearestMultiple(int64_t{image_long} * native_side, image_short, step));
  }
  int piece_long = image_long;
  if (work_long > kMaxPieceRatio * native_side) {
    piece_long = static_cast<int>(std::min<int64_t>(image_long, kMaxPieceRatio * image_short));
    work_long = NearestMultiple(kMaxPieceRatio * native_side, 1, step);
  }
  WorkGrid grid;
  grid.height = wide ? native_side : work_long;
  grid.width = wide ? work_long : native_side;
  for (const int start : PieceStarts(image_long, piece_long, image_short)) {
    grid.pieces.push_back(wide ? ImagePiece{0, start, image_short, piece_long}
                               : ImagePiece{start, 0, piece_long, image_short});
  }
  return grid;
}

Image Cut(const Image& image, const ImagePiece& piece) {
  Image cut{piece.width, piece.height, image.channels, {}};
  cut.pixels.reserve(cut.size());
  const size_t stride = static_cast<size_t>(image.width) * image.channels;
  for (int row = piece.top; row < piece.top + piece.height; ++row) {
    const auto begin = image.pixels.begin() + static_cast<ptrdiff_t>(row * stride) +
                       static_cast<ptrdiff_t>(piece.left) * image.channels;
    cut.pixels.insert(cut.pixels.end(), begin,
                      begin + static_cast<ptrdiff_t>(piece.width) * image.channels);
  }
  return cut;
}

PieceBlender::PieceBlender(int image_height, int image_width, std::vector<ImagePiece> pieces)
    : image_height_(image_height),
      image_width_(image_width),
      wide_(image_width >= image_height),
      pieces_(std::move(pieces)) {}

void PieceBlender::Add(size_t index, const at::Tensor& part) {
  if (pieces_.size() == 1) {
    sum_ = part;
    return;
  }
  if (!sum_.defined()) {
    sum_ = at::zeros({1, part.size(1), image_height_, image_width_}, at::kFloat);
    weights_ = at::zeros({std::max(image_height_, image_width_)}, at::kFloat);
  }
  const auto start_of = [&](size_t i) { return wide_ ? pieces_[i].left : pieces_[i].top; };
  const int size = wide_ ? pieces_[index].width : pieces_[index].height;
  const int start = start_of(index);
  const int previous_end = index > 0 ? start_of(index - 1) + size : start;
  const int next_start = index + 1 < pieces_.size() ? start_of(index + 1) : start + size;
  const at::Tensor ramp = RampWeights(start, start + size, previous_end, next_start);
  sum_.narrow(wide_ ? 3 : 2, start, size).add_(part * (wide_ ? ramp : ramp.unsqueeze(1)));
  weights_.narrow(0, start, size).add_(ramp);
}

at::Tensor PieceBlender::Result() const {
  if (pieces_.size() == 1) return sum_;
  return sum_ / (wide_ ? weights_ : weights_.unsqueeze(1));
}

}  // namespace antidiffusion
