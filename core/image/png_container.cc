#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/status_macros.h"
#include "core/image/bytes.h"
#include "core/image/container.h"

namespace antidiffusion {
namespace {

constexpr absl::string_view kSignature("\x89PNG\r\n\x1a\n", 8);
constexpr size_t kIhdrEnd = 8 + 8 + 13 + 4;  // signature, chunk head, IHDR, CRC
constexpr uint32_t kMaxChunk = 0x7fffffff;
constexpr absl::string_view kExifPrefix("Exif\0\0", 6);
constexpr size_t kMaxTextBytes = size_t{1} << 20;

struct Chunk {
  absl::string_view type;
  absl::string_view data;
  bool crc_matches = false;
};

uint32_t Crc(absl::string_view type, absl::string_view data) {
  uLong crc = crc32(0, reinterpret_cast<const Bytef*>(type.data()), 4);
  // zlib takes a null pointer for "give me the initial value": an empty chunk has nothing to add.
  if (!data.empty()) {
    crc = crc32(crc, reinterpret_cast<const Bytef*>(data.data()), static_cast<uInt>(data.size()));
  }
  return static_cast<uint32_t>(crc);
}

absl::Status Truncated() { return InvalidImage("a truncated PNG", "a complete file"); }

// The chunk at `offset`, which moves behind it. The CRC of pixels is left to the decoder.
absl::StatusOr<Chunk> NextChunk(absl::string_view bytes, size_t& offset) {
  if (bytes.size() - offset < 12) return Truncated();
  const uint32_t length = BigEndian(bytes, offset, 4);
  if (length > kMaxChunk) return InvalidImage("a PNG chunk over 2 GiB", "a valid PNG");
  if (bytes.size() - offset - 12 < length) return Truncated();
  Chunk chunk{bytes.substr(offset + 4, 4), bytes.substr(offset + 8, length)};
  if (chunk.type != "IDAT") {
    chunk.crc_matches = BigEndian(bytes, offset + 8 + length, 4) == Crc(chunk.type, chunk.data);
  }
  offset += size_t{12} + length;
  return chunk;
}

// What a zlib stream holds; empty when it is broken or larger than `limit`.
std::string Inflate(absl::string_view compressed, size_t limit) {
  z_stream stream = {};
  if (inflateInit(&stream) != Z_OK) return "";
  std::string out;
  std::string buffer(size_t{64} << 10, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data()));
  stream.avail_in = static_cast<uInt>(compressed.size());
  int code = Z_OK;
  while (code == Z_OK && out.size() <= limit) {
    stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
    stream.avail_out = static_cast<uInt>(buffer.size());
    code = inflate(&stream, Z_NO_FLUSH);
    out.append(buffer, 0, buffer.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  return code == Z_STREAM_END && out.size() <= limit ? out : "";
}

absl::StatusOr<std::string> Deflate(absl::string_view data, int level) {
  uLongf size = compressBound(data.size());
  std::string out(size, '\0');
  if (compress2(reinterpret_cast<Bytef*>(out.data()), &size,
                reinterpret_cast<const Bytef*>(data.data()), data.size(), level) != Z_OK) {
    return absl::InternalError("zlib cannot compress");
  }
  out.resize(size);
  return out;
}

void AppendChunk(std::string& out, absl::string_view type, absl::string_view data) {
  AppendBigEndian(out, static_cast<uint32_t>(data.size()), 4);
  absl::StrAppend(&out, type, data);
  AppendBigEndian(out, Crc(type, data), 4);
}

// iCCP: a name of 1..79 bytes, 0, the method 0, a zlib stream.
std::string ReadIccp(absl::string_view data) {
  const size_t end = data.find('\0');  // npos is more than 79, too
  if (end > 79 || data.size() < end + 2) return "";
  return data[end + 1] == 0 ? Inflate(data.substr(end + 2), kMaxIccBytes) : "";
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
  absl::string_view rest = chunk.data.substr(std::min(chunk.data.size(), end + 1));
  std::string text(rest);
  if (chunk.type == "zTXt") {
    if (rest.empty() || rest[0] != 0) return "";
    text = Inflate(rest.substr(1), kMaxTextBytes);
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

bool IsValidDepth(int color_type, int bit_depth) {
  switch (color_type) {
    case 0:
    case 3:
      return bit_depth == 1 || bit_depth == 2 || bit_depth == 4 || bit_depth == 8;
    case 2:
    case 4:
    case 6:
      return bit_depth == 8;
    default:
      return false;
  }
}

// The Paeth predictor (ISO/IEC 15948, 9.4).
uint8_t Paeth(int left, int above, int above_left) {
  const int estimate = left + above - above_left;
  const int from_left = std::abs(estimate - left), from_above = std::abs(estimate - above);
  const int from_corner = std::abs(estimate - above_left);
  if (from_left <= from_above && from_left <= from_corner) return static_cast<uint8_t>(left);
  return static_cast<uint8_t>(from_above <= from_corner ? above : above_left);
}

}  // namespace

bool IsPng(absl::string_view bytes) { return absl::StartsWith(bytes, kSignature); }

absl::StatusOr<PngHeader> ReadPngHeader(absl::string_view bytes) {
  size_t offset = kSignature.size();
  AD_ASSIGN_OR_RETURN(const Chunk ihdr, NextChunk(bytes, offset));
  if (ihdr.type != "IHDR" || ihdr.data.size() != 13) {
    return InvalidImage("a PNG without IHDR", "a valid PNG");
  }
  const uint32_t width = BigEndian(ihdr.data, 0, 4), height = BigEndian(ihdr.data, 4, 4);
  if (width == 0 || width > kMaxChunk || height == 0 || height > kMaxChunk) {
    return InvalidImage(absl::StrCat("a PNG of ", width, "x", height), "a valid PNG");
  }
  PngHeader header;
  header.image = {ImageFormat::kPng, static_cast<int>(width), static_cast<int>(height)};
  header.bit_depth = ByteAt(ihdr.data, 8);
  header.color_type = ByteAt(ihdr.data, 9);
  if (header.bit_depth == 16) return InvalidImage("16 bits a sample", "at most 8 bits a sample");
  if (!IsValidDepth(header.color_type, header.bit_depth)) {
    return InvalidImage(absl::StrCat("a PNG of color type ", header.color_type, " with ",
                                     header.bit_depth, " bits"),
                        "a valid PNG");
  }
  // An animation says so before its first pixels. A file that ends before is refused when it is
  // decoded, so that the size comes first among the complaints.
  while (offset < bytes.size()) {
    const absl::StatusOr<Chunk> chunk = NextChunk(bytes, offset);
    if (!chunk.ok() || chunk->type == "IDAT" || chunk->type == "IEND") break;
    if (chunk->type == "acTL") return InvalidImage("an animated PNG", "a single image");
  }
  return header;
}

absl::StatusOr<PngContents> ReadPng(absl::string_view bytes) {
  AD_ASSIGN_OR_RETURN(const PngHeader header, ReadPngHeader(bytes));
  PngContents contents;
  // Unpacking takes far longer than the bytes do to send, so each kind gets one attempt.
  bool read_icc = false, read_text = false;
  size_t offset = kIhdrEnd;
  for (;;) {
    AD_ASSIGN_OR_RETURN(const Chunk chunk, NextChunk(bytes, offset));
    if (chunk.type == "IEND") return contents;
    if (!chunk.crc_matches) continue;
    if (chunk.type == "iCCP" && !std::exchange(read_icc, true)) {
      contents.metadata.icc = ReadIccp(chunk.data);
    } else if (chunk.type == "eXIf" && contents.metadata.exif.empty()) {
      contents.metadata.exif = std::string(chunk.data);
    } else if (IsExifText(chunk) && !std::exchange(read_text, true)) {
      std::string exif = ReadExifText(chunk);
      if (contents.metadata.exif.empty()) contents.metadata.exif = std::move(exif);
    } else if (chunk.type == "tRNS" && header.color_type == 0 && chunk.data.size() == 2) {
      contents.transparent_gray = static_cast<int>(BigEndian(chunk.data, 0, 2));
    }
  }
}

absl::StatusOr<std::string> PixelChunks(absl::string_view bytes) {
  std::string out(bytes.substr(0, kSignature.size()));
  size_t offset = kSignature.size();
  for (;;) {
    const size_t start = offset;
    AD_ASSIGN_OR_RETURN(const Chunk chunk, NextChunk(bytes, offset));
    // A small first letter marks a chunk as ancillary (ISO/IEC 15948, 5.4). Unknown critical chunks
    // stay, for the decoder to refuse.
    const bool critical = (ByteAt(chunk.type, 0) & 0x20) == 0;
    if (critical || chunk.type == "tRNS")
      absl::StrAppend(&out, bytes.substr(start, offset - start));
    if (chunk.type == "IEND") return out;
  }
}

std::string AddPngMetadata(absl::string_view encoded, const RawMetadata& metadata) {
  std::string out(encoded.substr(0, kIhdrEnd));
  if (!metadata.icc.empty()) {
    const absl::StatusOr<std::string> compressed = Deflate(metadata.icc, Z_BEST_COMPRESSION);
    if (compressed.ok()) {
      std::string data("ICC Profile\0\0", 13);
      data += *compressed;
      AppendChunk(out, "iCCP", data);
    }
  }
  if (!metadata.exif.empty()) AppendChunk(out, "eXIf", metadata.exif);
  absl::StrAppend(&out, encoded.substr(kIhdrEnd));
  return out;
}

absl::StatusOr<std::string> EncodeGrayAlphaPng(const Image& gray,
                                               const std::vector<uint8_t>& alpha) {
  const size_t width = static_cast<size_t>(gray.width), row_bytes = 2 * width;
  std::vector<uint8_t> above(row_bytes, 0), row(row_bytes);
  std::string filtered;
  filtered.reserve((row_bytes + 1) * static_cast<size_t>(gray.height));
  for (size_t y = 0; y < static_cast<size_t>(gray.height); ++y) {
    for (size_t x = 0; x < width; ++x) {
      row[2 * x] = gray.pixels[y * width + x];
      row[2 * x + 1] = alpha[y * width + x];
    }
    filtered.push_back(4);  // every row is filtered by Paeth
    for (size_t i = 0; i < row_bytes; ++i) {
      const uint8_t predicted = i < 2 ? above[i] : Paeth(row[i - 2], above[i], above[i - 2]);
      filtered.push_back(static_cast<char>(row[i] - predicted));
    }
    std::swap(above, row);
  }
  AD_ASSIGN_OR_RETURN(const std::string idat, Deflate(filtered, 6));
  std::string header;
  AppendBigEndian(header, static_cast<uint32_t>(gray.width), 4);
  AppendBigEndian(header, static_cast<uint32_t>(gray.height), 4);
  header += std::string("\x08\x04\x00\x00\x00", 5);  // 8 bits, grey+alpha, not interlaced
  std::string out(kSignature);
  AppendChunk(out, "IHDR", header);
  AppendChunk(out, "IDAT", idat);
  AppendChunk(out, "IEND", "");
  return out;
}

}  // namespace antidiffusion
