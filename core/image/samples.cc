#include "core/image/samples.h"

#include <algorithm>
#include <cstddef>
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

void SplitSamples(std::vector<uint8_t> samples, int width, int height, int channels,
                  Picture& picture) {
  Image& image = picture.image;
  image = {width, height, channels <= 2 ? 1 : 3, {}};
  if (channels == image.channels) {
    image.pixels = std::move(samples);
    return;
  }
  image.pixels.resize(image.size());
  picture.alpha.resize(samples.size() / static_cast<size_t>(channels));
  const uint8_t* from = samples.data();
  uint8_t* to = image.pixels.data();
  for (uint8_t& alpha : picture.alpha) {
    for (int c = 0; c < image.channels; ++c) *to++ = *from++;
    alpha = *from++;
  }
}

std::vector<uint8_t> JoinSamples(const Picture& picture, bool as_color) {
  const int channels = picture.image.channels;
  const int copies = as_color && channels == 1 ? 3 : 1;
  const bool has_alpha = !picture.alpha.empty();
  const size_t pixels = picture.image.pixels.size() / static_cast<size_t>(channels);
  std::vector<uint8_t> samples(pixels * static_cast<size_t>(channels * copies + has_alpha));
  const uint8_t* from = picture.image.pixels.data();
  uint8_t* to = samples.data();
  for (size_t i = 0; i < pixels; ++i, from += channels) {
    for (int c = 0; c < channels * copies; ++c) *to++ = from[copies == 1 ? c : 0];
    if (has_alpha) *to++ = picture.alpha[i];
  }
  return samples;
}

bool IsOpaque(const Picture& picture) {
  return std::ranges::all_of(picture.alpha, [](uint8_t alpha) { return alpha == 255; });
}

bool HidesColours(const Picture& picture) {
  return std::ranges::find(picture.alpha, 0) != picture.alpha.end();
}

void ApplyOrientation(int orientation, Image& image, std::vector<uint8_t>& alpha) {
  if (orientation <= 1 || orientation > 8) return;
  const Turn& turn = kTurns[orientation - 1];
  ApplyTurn(turn, image.width, image.height, image.channels, image.pixels);
  if (!alpha.empty()) ApplyTurn(turn, image.width, image.height, 1, alpha);
  if (turn.transpose) std::swap(image.width, image.height);
}

}  // namespace antidiffusion
