// The size an image is worked on at, and the pieces a long strip is cut into.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "core/image/image.h"
#include "core/protect/memory_plan.h"

namespace antidiffusion {

// A rectangle of the image, in its own pixels.
struct ImagePiece {
  int top = 0;
  int left = 0;
  int height = 0;
  int width = 0;

  bool operator==(const ImagePiece&) const = default;
};

// The pieces of an image, all of one size, and the size in pixels that each is resampled to.
struct WorkGrid {
  int64_t height = 0;
  int64_t width = 0;
  std::vector<ImagePiece> pieces;
};

// What the models of a job ask of the size.
struct WorkRules {
  int64_t native_side = 0;    // of the first model, pixels; 0: it has none
  int64_t side_multiple = 8;  // both sides are multiples of it
  MemoryPlan memory;
};

// Short side: the model's native side; without one the image's own, to the nearest multiple, at
// most 1024 (what models edit at: more detail would be resampled away). Long side: the multiple of
// 64 (of 32 for native sides under 512, of side_multiple alone without one) nearest to the image's
// ratio. An image whose long side would be more than four short sides, or that would need more
// memory than there is, is cut into pieces along its long side; pieces are at least square and
// overlap by at least a quarter of their length. Sides of the image are positive. INVALID_ARGUMENT
// (field "image"): more than 64 pieces of four short sides, each of which costs a whole protection.
// RESOURCE_EXHAUSTED (reason DEVICE_MEMORY, with the bytes `needed` and `available`): not even 64
// smaller pieces fit.
absl::StatusOr<WorkGrid> PlanWork(int image_height, int image_width, const WorkRules& rules);

Image Cut(const Image& image, const ImagePiece& piece);

// Puts the pieces' differences together. In an overlap the weights change linearly from one piece
// to the next, so every value lies between those of the pieces. Thread-compatible.
class PieceBlender {
 public:
  PieceBlender(int image_height, int image_width, std::vector<ImagePiece> pieces);

  // `part` [1,C,height,width] of piece `index`; each piece once.
  void Add(size_t index, const at::Tensor& part);

  // [1,C,image_height,image_width], once all are added.
  at::Tensor Result() const;

 private:
  int image_height_;
  int image_width_;
  bool wide_;
  std::vector<ImagePiece> pieces_;
  at::Tensor sum_;
  at::Tensor weights_;  // along the long axis
};

}  // namespace antidiffusion
