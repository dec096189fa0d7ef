// PNG and WebP files put together by hand, as other writers do it and as this one does not.
#pragma once

#include <zlib.h>

#include <string>

#include "tests/core/image/fixtures.h"

namespace antidiffusion {

inline constexpr size_t kPngIhdrEnd = 33;

// A chunk with its length and CRC.
inline std::string PngChunk(const std::string& type, const std::string& data) {
  std::string chunk;
  AppendBigEndian(chunk, static_cast<uint32_t>(data.size()), 4);
  chunk += type + data;
  const uLong crc = crc32(0, reinterpret_cast<const Bytef*>(chunk.data() + 4),
                          static_cast<uInt>(chunk.size() - 4));
  AppendBigEndian(chunk, static_cast<uint32_t>(crc), 4);
  return chunk;
}

inline std::string Compressed(const std::string& data) {
  uLongf size = compressBound(data.size());
  std::string out(size, '\0');
  compress2(reinterpret_cast<Bytef*>(out.data()), &size,
            reinterpret_cast<const Bytef*>(data.data()), data.size(), 9);
  out.resize(size);
  return out;
}

// `png` with `chunks` behind IHDR.
inline std::string WithPngChunks(const std::string& png, const std::string& chunks) {
  return png.substr(0, kPngIhdrEnd) + chunks + png.substr(kPngIhdrEnd);
}

// A chunk of WebP; `padded`: with the zero byte that follows data of odd length.
inline std::string WebpChunk(const std::string& type, const std::string& data, bool padded = true) {
  std::string chunk = type;
  AppendLittleEndian(chunk, static_cast<uint32_t>(data.size()), 4);
  chunk += data;
  if (padded && data.size() % 2 != 0) chunk.push_back('\0');
  return chunk;
}

// A file of the extended layout; `flags` are VP8X's.
inline std::string WebpFile(uint8_t flags, int width, int height, const std::string& chunks) {
  std::string canvas;
  AppendLittleEndian(canvas, flags, 4);
  AppendLittleEndian(canvas, static_cast<uint32_t>(width - 1), 3);
  AppendLittleEndian(canvas, static_cast<uint32_t>(height - 1), 3);
  return WebpChunk("RIFF", "WEBP" + WebpChunk("VP8X", canvas) + chunks, false);
}

}  // namespace antidiffusion
