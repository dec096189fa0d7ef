#include "core/image/orientation.h"

#include <opencv2/core.hpp>
#include <utility>

namespace antidiffusion {
namespace {

// What brings a stored image upright: first, perhaps, rows become columns, then a flip.
struct Turn {
  bool transpose;
  bool flip;
  int flip_code;  // OpenCV's: 0 top and bottom, 1 left and right, -1 both
};

constexpr Turn kTurns[] = {
    {false, false, 0},                                       // 1: as stored
    {false, true, 1},  {false, true, -1}, {false, true, 0},  // 2..4: mirrored, 180, mirrored
    {true, false, 0},  {true, true, 1},                      // 5, 6: transposed, 90 clockwise
    {true, true, -1},  {true, true, 0},                      // 7, 8: transverse, 90 anticlockwise
};

void ApplyTurn(const Turn& turn, int width, int height, int channels,
               std::vector<uint8_t>& samples) {
  const cv::Mat stored(height, width, CV_8UC(channels), samples.data());
  std::vector<uint8_t> result(samples.size());
  cv::Mat upright(turn.transpose ? width : height, turn.transpose ? height : width,
                  CV_8UC(channels), result.data());
  if (turn.transpose) {
    cv::transpose(stored, upright);
    if (turn.flip) cv::flip(upright, upright, turn.flip_code);
  } else {
    cv::flip(stored, upright, turn.flip_code);
  }
  samples = std::move(result);
}

}  // namespace

void ApplyOrientation(int orientation, Image& image, std::vector<uint8_t>& alpha) {
  if (orientation <= 1 || orientation > 8) return;
  const Turn& turn = kTurns[orientation - 1];
  ApplyTurn(turn, image.width, image.height, image.channels, image.pixels);
  if (!alpha.empty()) ApplyTurn(turn, image.width, image.height, 1, alpha);
  if (turn.transpose) std::swap(image.width, image.height);
}

}  // namespace antidiffusion
