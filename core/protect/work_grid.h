// The size an image is worked on at, and the pieces a long strip is cut into.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "core/image/image.h"

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

// Short side: the model's native side. Long side: the multiple of 64 (of 32 for native sides under
// 512; always of four latent cells) nearest to the image's ratio. An image whose long side would be
// more than four native sides is cut into pieces of four short sides that overlap by at least one.
// Sides of the image are positive. INVALID_ARGUMENT (field "image"): more than 64 pieces, each of
// which costs a whole protection.
absl::StatusOr<WorkGrid> PlanWork(int image_height, int image_width, int64_t native_side,
                                  int64_t latent_factor);

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
