// What is read of a PNG without libpng: its size and kind, before anything is allocated for it; and
// EXIF, of which libpng does not take what real files have (a prefix, text chunks).
#include <zlib.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/image/bytes.h"
#include "core/image/formats.h"

namespace antidiffusion {
namespace {

constexpr absl::string_view kSignature("\x89PNG\r\n\x1a\n", 8);
constexpr uint32_t kMaxSide = 0x7fffffff;
constexpr size_t kMaxTextBytes = size_t{1} << 20;

struct Chunk {
  absl::string_view type;
  absl::string_view data;
  uint32_t crc = 0;
};

// The chunk at `offset`, which moves behind it; nothing where the file ends before the chunk does.
std::optional<Chunk> NextChunk(absl::string_view bytes, size_t& offset) {
  if (bytes.size() - offset < 12) return std::nullopt;
  const size_t length = BigEndian(bytes, offset, 4);
  if (bytes.size() - offset - 12 < length) return std::nullopt;
  const Chunk chunk{bytes.substr(offset + 4, 4), bytes.substr(offset + 8, length),
                    BigEndian(bytes, offset + 8 + length, 4)};
  offset += 12 + length;
  return chunk;
}

bool CrcMatches(const Chunk& chunk) {
  const auto* start =
      reinterpret_cast<const Bytef*>(chunk.type.data());  // the data follow the type
  return crc32(0, start, static_cast<uInt>(4 + chunk.data.size())) == chunk.crc;
}

// What a zlib stream holds; empty when it is broken or larger than kMaxTextBytes.
std::string Unpack(absl::string_view compressed) {
  std::string text(kMaxTextBytes, '\0');
  uLongf size = text.size();
  const int code = uncompress(reinterpret_cast<Bytef*>(text.data()), &size,
                              reinterpret_cast<const Bytef*>(compressed.data()), compressed.size());
  text.resize(code == Z_OK ? size : 0);
  return text;
}

// EXIF as tools wrote it before eXIf (ImageMagick, exiv2 up to 0.27 and what is built on it): a
// text chunk of a name of its own whose text is, in lines, "exif", the number of bytes, and their
// hexadecimal digits.
bool IsExifText(const Chunk& chunk) {
  if (chunk.type != "zTXt" && chunk.type != "tEXt") return false;
  const absl::string_view name = chunk.data.substr(0, chunk.data.find('\0'));
  return name == "Raw profile type exif" || name == "Raw profile type APP1";
}

// Of a chunk for which IsExifText holds; empty when it is broken.
std::string ReadExifText(const Chunk& chunk) {
  const size_t end = std::min(chunk.data.size(), chunk.data.find('\0'));
  const absl::string_view rest = chunk.data.substr(std::min(chunk.data.size(), end + 1));
  std::string text(rest);
  if (chunk.type == "zTXt") {
    if (rest.empty() || rest[0] != 0) return "";
    text = Unpack(rest.substr(1));
  }
  if (text.size() > kMaxTextBytes) return "";
  const std::vector<absl::string_view> lines = absl::StrSplit(text, '\n', absl::SkipEmpty());
  size_t size = 0;
  if (lines.size() < 3 || !absl::SimpleAtoi(lines[1], &size)) return "";
  std::string exif;
  for (size_t i = 2; i < lines.size(); ++i) exif += absl::HexStringToBytes(lines[i]);
  if (exif.size() < size || !absl::StartsWith(exif, kExifPrefix)) return "";
  return exif.substr(kExifPrefix.size(), size - std::min(size, kExifPrefix.size()));
}

// Whether the file is an APNG, which says so between IHDR and its first pixels. An animation whose
// one frame is the image itself (acTL counts it, fcTL stands before IDAT) is a still picture.
bool IsAnimated(absl::string_view bytes, size_t offset) {
  bool animated = false, still = false, one_frame = false;
  while (const std::optional<Chunk> chunk = NextChunk(bytes, offset)) {
    if (chunk->type == "IDAT" || chunk->type == "IEND") break;
    if (chunk->type == "acTL") {
      animated = true;
      one_frame = chunk->data.size() >= 4 && BigEndian(chunk->data, 0, 4) == 1;
    }
    if (chunk->type == "fcTL") still = one_frame;
  }
  return animated && !still;
}

}  // namespace

bool IsPng(absl::string_view bytes) { return absl::StartsWith(bytes, kSignature); }

absl::StatusOr<ImageHeader> ReadPngHeader(absl::string_view bytes) {
  size_t offset = kSignature.size();
  const std::optional<Chunk> ihdr = NextChunk(bytes, offset);
  if (!ihdr) return InvalidImage("a truncated PNG", "a complete file");
  if (ihdr->type != "IHDR" || ihdr->data.size() != 13) {
    return InvalidImage("a PNG without IHDR", "a valid PNG");
  }
  const uint32_t width = BigEndian(ihdr->data, 0, 4), height = BigEndian(ihdr->data, 4, 4);
  if (width == 0 || width > kMaxSide || height == 0 || height > kMaxSide) {
    return InvalidImage(absl::StrCat("a PNG of ", width, "x", height), "a valid PNG");
  }
  if (ihdr->data[8] == 16) return InvalidImage("16 bits a sample", "at most 8 bits a sample");
  if (IsAnimated(bytes, offset)) return InvalidImage("an animated PNG", "a single image");
  return ImageHeader{ImageFormat::kPng, static_cast<int>(width), static_cast<int>(height)};
}

PngExtras ReadPngExtras(absl::string_view bytes) {
  PngExtras extras;
  std::string from_text;
  bool read_text = false;  // unpacking takes far longer than the bytes do to send: one attempt
  size_t offset = kSignature.size();
  while (const std::optional<Chunk> chunk = NextChunk(bytes, offset)) {
    if (chunk->type == "IEND") break;
    if (chunk->type == "iCCP") {
      ++extras.profiles;
    } else if (chunk->type == "eXIf" && extras.exif.empty() && CrcMatches(*chunk)) {
      const bool prefixed = absl::StartsWith(chunk->data, kExifPrefix);
      extras.exif = std::string(chunk->data.substr(prefixed ? kExifPrefix.size() : 0));
    } else if (!read_text && IsExifText(*chunk) && CrcMatches(*chunk)) {
      read_text = true;
      from_text = ReadExifText(*chunk);
    }
  }
  if (extras.exif.empty()) extras.exif = std::move(from_text);
  return extras;
}

}  // namespace antidiffusion
