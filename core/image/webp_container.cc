#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/image/bytes.h"
#include "core/image/container.h"

namespace antidiffusion {
namespace {

constexpr size_t kRiffHead = 12;  // "RIFF", size, "WEBP"
constexpr absl::string_view kExifPrefix("Exif\0\0", 6);

enum Vp8xFlag : uint8_t {
  kAnimation = 0x02,
  kXmp = 0x04,
  kExif = 0x08,
  kAlpha = 0x10,
  kIcc = 0x20,
};

struct Chunk {
  absl::string_view type;
  absl::string_view data;
};

absl::Status Truncated() { return InvalidImage("a truncated WebP", "a complete file"); }
absl::Status Broken() { return InvalidImage("a broken WebP", "a valid WebP"); }

// The chunk at `offset`, which moves behind it and its padding.
absl::StatusOr<Chunk> NextChunk(absl::string_view bytes, size_t& offset) {
  if (bytes.size() - offset < 8) return Truncated();
  const size_t length = LittleEndian(bytes, offset + 4, 4);
  if (bytes.size() - offset - 8 < length) return Truncated();
  const Chunk chunk{bytes.substr(offset, 4), bytes.substr(offset + 8, length)};
  // The last chunk's padding may be left out by a careless writer.
  offset = std::min(bytes.size(), offset + 8 + length + length % 2);
  return chunk;
}

// Width and height of a lossy (RFC 6386, 9.1), lossless or extended first chunk.
absl::StatusOr<ImageHeader> ReadSize(absl::string_view type, absl::string_view data) {
  uint32_t width = 0, height = 0;
  if (type == "VP8X" && data.size() >= 10) {
    if ((ByteAt(data, 0) & kAnimation) != 0) {
      return InvalidImage("an animated WebP", "a single image");
    }
    width = LittleEndian(data, 4, 3) + 1;
    height = LittleEndian(data, 7, 3) + 1;
  } else if (type == "VP8L" && data.size() >= 5 && data[0] == '\x2f') {
    const uint32_t bits = LittleEndian(data, 1, 4);
    width = (bits & 0x3fff) + 1;
    height = ((bits >> 14) & 0x3fff) + 1;
  } else if (type == "VP8 " && data.size() >= 10 &&
             data.substr(3, 3) == absl::string_view("\x9d\x01\x2a", 3)) {
    width = LittleEndian(data, 6, 2) & 0x3fff;
    height = LittleEndian(data, 8, 2) & 0x3fff;
  }
  if (width == 0 || height == 0) return Broken();
  return ImageHeader{ImageFormat::kWebp, static_cast<int>(width), static_cast<int>(height)};
}

void AppendChunk(std::string& out, absl::string_view type, absl::string_view data) {
  absl::StrAppend(&out, type);
  AppendLittleEndian(out, static_cast<uint32_t>(data.size()), 4);
  absl::StrAppend(&out, data);
  if (data.size() % 2 != 0) out.push_back('\0');
}

}  // namespace

bool IsWebp(absl::string_view bytes) {
  return bytes.size() >= kRiffHead && absl::StartsWith(bytes, "RIFF") &&
         bytes.substr(8, 4) == "WEBP";
}

absl::StatusOr<ImageHeader> ReadWebpHeader(absl::string_view bytes) {
  if (bytes.size() < kRiffHead + 8) return Truncated();
  // Not by NextChunk: the first chunk may be all pixels, and a file cut short tells its size, too.
  return ReadSize(bytes.substr(kRiffHead, 4), bytes.substr(kRiffHead + 8));
}

absl::StatusOr<RawMetadata> ReadWebp(absl::string_view bytes) {
  const size_t size = size_t{LittleEndian(bytes, 4, 4)} + 8;
  if (size > bytes.size()) return Truncated();
  if (size < kRiffHead + 8) return Broken();
  bytes = bytes.substr(0, size);  // what follows is not the image's
  AD_ASSIGN_OR_RETURN(const ImageHeader header, ReadWebpHeader(bytes));
  RawMetadata metadata;
  int frames = 0;
  size_t offset = kRiffHead;
  while (offset < bytes.size()) {
    AD_ASSIGN_OR_RETURN(const Chunk chunk, NextChunk(bytes, offset));
    if (chunk.type == "ANIM" || chunk.type == "ANMF") {
      return InvalidImage("an animated WebP", "a single image");
    }
    if (chunk.type == "VP8 " || chunk.type == "VP8L") {
      AD_ASSIGN_OR_RETURN(const ImageHeader frame, ReadSize(chunk.type, chunk.data));
      if (frame.width != header.width || frame.height != header.height || ++frames > 1) {
        return Broken();
      }
    } else if (chunk.type == "ICCP" && metadata.icc.empty() && chunk.data.size() <= kMaxIccBytes) {
      metadata.icc = std::string(chunk.data);
    } else if (chunk.type == "EXIF" && metadata.exif.empty()) {
      // Some writers copy the prefix that only JPEG has.
      const bool prefixed = absl::StartsWith(chunk.data, kExifPrefix);
      metadata.exif = std::string(prefixed ? chunk.data.substr(6) : chunk.data);
    }
  }
  if (frames == 0) return Broken();
  return metadata;
}

std::string AddWebpMetadata(absl::string_view encoded, const RawMetadata& metadata,
                            const ImageHeader& size, bool has_alpha) {
  std::string vp8x;
  const int flags = (metadata.icc.empty() ? 0 : kIcc) | (metadata.exif.empty() ? 0 : kExif) |
                    (has_alpha ? kAlpha : 0);
  AppendLittleEndian(vp8x, static_cast<uint32_t>(flags), 4);
  AppendLittleEndian(vp8x, static_cast<uint32_t>(size.width - 1), 3);
  AppendLittleEndian(vp8x, static_cast<uint32_t>(size.height - 1), 3);

  std::string chunks;
  AppendChunk(chunks, "VP8X", vp8x);
  if (!metadata.icc.empty()) AppendChunk(chunks, "ICCP", metadata.icc);
  size_t offset = kRiffHead;
  while (offset < encoded.size()) {
    const absl::StatusOr<Chunk> chunk = NextChunk(encoded, offset);
    if (!chunk.ok()) break;
    // ALPH, VP8 or VP8L; an own VP8X is replaced.
    if (chunk->type != "VP8X") AppendChunk(chunks, chunk->type, chunk->data);
  }
  if (!metadata.exif.empty()) AppendChunk(chunks, "EXIF", metadata.exif);

  std::string out = "RIFF";
  AppendLittleEndian(out, static_cast<uint32_t>(chunks.size() + 4), 4);
  return absl::StrCat(out, "WEBP", chunks);
}

}  // namespace antidiffusion
