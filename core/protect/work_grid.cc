#include "core/protect/work_grid.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"

namespace antidiffusion {
namespace {

constexpr int64_t kMaxPieceRatio = 4;  // long side of a piece, in short sides
constexpr int64_t kOverlapShare = 4;   // of a piece's length: one part in four
constexpr int64_t kMaxPieces = 64;
// Pieces of four short sides that overlap by one are three apart.
constexpr int64_t kMaxImageRatio = kMaxPieces * (kMaxPieceRatio - 1) + 1;
constexpr int64_t kLargeNativeSide = 512;
constexpr int64_t kMostOwnSide = 1024;

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

int64_t StepOf(const WorkRules& rules) {
  if (rules.native_side == 0) return rules.side_multiple;
  return std::lcm(rules.native_side < kLargeNativeSide ? int64_t{32} : int64_t{64},
                  rules.side_multiple);
}

int64_t ShortSide(int64_t image_short, int64_t step, const WorkRules& rules) {
  if (rules.native_side > 0) return rules.native_side;
  const int64_t most = std::max(step, kMostOwnSide / step * step);
  return std::clamp(NearestMultiple(image_short, 1, step), step, most);
}

absl::Status OutOfMemory(const MemoryPlan& memory, int64_t pixels) {
  const std::string needed = absl::StrCat(memory.Needed(pixels));
  const std::string available = absl::StrCat(memory.available);
  return WithReason(absl::ResourceExhaustedError(
                        absl::StrCat("not enough device memory for this image: about ", needed,
                                     " bytes are needed, ", available, " are available")),
                    {"DEVICE_MEMORY", {{"needed", needed}, {"available", available}}});
}

// The longest side of a piece: of four short sides, and of what memory takes, but not under one.
absl::StatusOr<int64_t> MostLongSide(int64_t work_short, int64_t step, const MemoryPlan& memory) {
  int64_t most = NearestMultiple(kMaxPieceRatio * work_short, 1, step);
  while (most > work_short && !memory.Fits(work_short * most)) most -= step;
  most = std::max(most, work_short);
  if (!memory.Fits(work_short * most)) return OutOfMemory(memory, work_short * most);
  return most;
}

}  // namespace

absl::StatusOr<WorkGrid> PlanWork(int image_height, int image_width, const WorkRules& rules) {
  const int image_short = std::min(image_height, image_width);
  const int image_long = std::max(image_height, image_width);
  const bool wide = image_width >= image_height;
  if (image_long > kMaxImageRatio * image_short) {
    return InvalidField("image", absl::StrCat(image_width, "x", image_height),
                        absl::StrCat("a long side of at most ", kMaxImageRatio, " short sides"));
  }
  const int64_t step = StepOf(rules);
  const int64_t work_short = ShortSide(image_short, step, rules);
  int64_t work_long = work_short;
  if (image_long > image_short) {
    work_long = std::max(work_short, NearestMultiple(image_long * work_short, image_short, step));
  }
  AD_ASSIGN_OR_RETURN(const int64_t most_long, MostLongSide(work_short, step, rules.memory));
  int piece_long = image_long;
  if (work_long > most_long) {
    piece_long =
        static_cast<int>(std::min<int64_t>(image_long, most_long * image_short / work_short));
    work_long = most_long;
  }
  WorkGrid grid;
  grid.height = wide ? work_short : work_long;
  grid.width = wide ? work_long : work_short;
  const int overlap = static_cast<int>(piece_long / kOverlapShare);
  for (const int start : PieceStarts(image_long, piece_long, overlap)) {
    grid.pieces.push_back(wide ? ImagePiece{0, start, image_short, piece_long}
                               : ImagePiece{start, 0, piece_long, image_short});
  }
  if (grid.pieces.size() <= kMaxPieces) return grid;
  // What the most pieces allowed, overlapping by a quarter, would take each.
  const int64_t whole = image_long * work_short / image_short;
  return OutOfMemory(rules.memory,
                     work_short * (kOverlapShare * whole / ((kOverlapShare - 1) * kMaxPieces + 1)));
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
