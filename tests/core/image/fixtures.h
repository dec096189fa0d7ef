// The files of testdata/ (written by testdata/make_files.py) and small pieces to build others from.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/image/codec.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {

inline constexpr int kFixtureWidth = 72;
inline constexpr int kFixtureHeight = 64;

inline std::string Fixture(std::string_view name) {
  return ReadFileBytes(std::string(ANTIDIFFUSION_SOURCE_DIR "/tests/core/image/testdata/") +
                       std::string(name));
}

// The formulas of make_files.py.
inline int Sample(int x, int y, int c) { return (x * (3 + c) + y * (2 + 2 * c) + 40 * c) % 256; }
inline int Smooth(int x, int y, int c) { return x + y + 30 * c; }

using Formula = std::function<int(int x, int y, int c)>;

inline Image FromFormula(int width, int height, int channels, const Formula& formula) {
  Image image{width, height, channels, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        image.pixels.push_back(static_cast<uint8_t>(formula(x, y, c)));
      }
    }
  }
  return image;
}

// One channel of a formula, as alpha is kept.
inline std::vector<uint8_t> Plane(int width, int height, const Formula& formula, int channel) {
  return FromFormula(width, height, 1, [&](int x, int y, int) { return formula(x, y, channel); })
      .pixels;
}

inline void AppendBigEndian(std::string& out, uint32_t value, size_t count) {
  for (size_t i = count; i > 0; --i) out.push_back(static_cast<char>(value >> (8 * (i - 1))));
}

inline void AppendLittleEndian(std::string& out, uint32_t value, size_t count) {
  for (size_t i = 0; i < count; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

inline void Append16(std::string& out, int value) {
  out.push_back(static_cast<char>(value));
  out.push_back(static_cast<char>(value >> 8));
}
inline void Append32(std::string& out, int value) {
  Append16(out, value & 0xffff);
  Append16(out, value >> 16);
}

// A little-endian EXIF block with an orientation and a camera's name and, when `thumbnail` is not
// empty, an IFD1 that holds it.
inline std::string ExifBlock(int orientation, const std::string& thumbnail = "") {
  const std::string make("Maker\0", 6);
  constexpr int kIfd0 = 8, kMakeAt = kIfd0 + 2 + 2 * 12 + 4, kIfd1 = kMakeAt + 6;
  constexpr int kThumbnailAt = kIfd1 + 2 + 3 * 12 + 4;
  std::string block("II*\0", 4);
  Append32(block, kIfd0);
  const auto entry = [&](int tag, int type, int count, int value) {
    Append16(block, tag);
    Append16(block, type);
    Append32(block, count);
    Append32(block, value);
  };
  Append16(block, 2);
  entry(0x010f, 2, 6, kMakeAt);
  entry(0x0112, 3, 1, orientation);
  Append32(block, thumbnail.empty() ? 0 : kIfd1);
  block += make;
  if (thumbnail.empty()) return block;
  Append16(block, 3);
  entry(0x0103, 3, 1, 6);  // JPEG
  entry(0x0201, 4, 1, kThumbnailAt);
  entry(0x0202, 4, 1, static_cast<int>(thumbnail.size()));
  Append32(block, 0);
  return block + thumbnail;
}

// A sound profile of `size` > 132 bytes without a tag; `space` "RGB ", "GRAY" or "CMYK".
inline std::string IccProfile(size_t size, std::string_view space) {
  std::string icc(size, '\0');
  for (size_t i = 132; i < size; ++i) icc[i] = static_cast<char>(i * i % 251);
  for (int i = 0; i < 4; ++i) icc[i] = static_cast<char>(size >> (8 * (3 - i)));
  icc.replace(12, 4, "mntr");
  icc.replace(16, 4, space);
  icc.replace(20, 4, "XYZ ");
  icc.replace(36, 4, "acsp");
  return icc;
}

}  // namespace antidiffusion
