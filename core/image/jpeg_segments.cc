#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/image/bytes.h"
#include "core/image/formats.h"

namespace antidiffusion {
namespace {

constexpr absl::string_view kSoi("\xff\xd8", 2);
constexpr absl::string_view kIccPrefix("ICC_PROFILE\0", 12);
constexpr size_t kIccHead = 14;  // prefix, number from 1, count
// Decoding a progressive file costs a pass over the whole image for each scan, and a scan may have
// a few bytes. Real encoders write about ten.
constexpr int kMaxScans = 100;

enum Marker : uint8_t {
  kSof0 = 0xc0,  // baseline
  kSof1 = 0xc1,  // extended
  kSof2 = 0xc2,  // progressive
  kDht = 0xc4,
  kJpg = 0xc8,
  kSof9 = 0xc9,   // extended, arithmetic coding
  kSof10 = 0xca,  // progressive, arithmetic coding
  kDac = 0xcc,
  kSofLast = 0xcf,
  kRst0 = 0xd0,
  kRst7 = 0xd7,
  kSoiMarker = 0xd8,
  kEoi = 0xd9,
  kSos = 0xda,
  kApp1 = 0xe1,
  kApp2 = 0xe2,
};

struct Segment {
  uint8_t marker = 0;
  absl::string_view data;  // without the length
};

absl::Status TruncatedJpeg() { return InvalidImage("a truncated JPEG", "a complete file"); }
absl::Status BrokenJpeg() { return InvalidImage("a broken JPEG", "a valid JPEG"); }

bool HasNoData(uint8_t marker) {
  return marker == 0x01 || (marker >= kRst0 && marker <= kEoi);  // TEM, RSTn, SOI, EOI
}

// The segment at `offset`, which moves behind it.
absl::StatusOr<Segment> NextSegment(absl::string_view bytes, size_t& offset) {
  if (offset >= bytes.size()) return TruncatedJpeg();
  if (ByteAt(bytes, offset) != 0xff) return BrokenJpeg();
  while (offset < bytes.size() && ByteAt(bytes, offset) == 0xff) ++offset;  // fill bytes
  if (offset >= bytes.size()) return TruncatedJpeg();
  Segment segment{ByteAt(bytes, offset++), {}};
  if (segment.marker == 0) return BrokenJpeg();
  if (HasNoData(segment.marker)) return segment;
  if (bytes.size() - offset < 2) return TruncatedJpeg();
  const size_t length = BigEndian(bytes, offset, 2);
  if (length < 2) return BrokenJpeg();
  if (bytes.size() - offset < length) return TruncatedJpeg();
  segment.data = bytes.substr(offset + 2, length - 2);
  offset += length;
  return segment;
}

// The offset of the next marker behind entropy-coded data, in which 0xff is followed by 0 or is a
// restart marker. Bytes between a scan and its next marker are tolerated, as decoders do.
absl::StatusOr<size_t> EndOfScan(absl::string_view bytes, size_t offset) {
  for (;;) {
    const size_t found = bytes.find('\xff', offset);
    if (found == absl::string_view::npos || found + 1 >= bytes.size()) return TruncatedJpeg();
    const uint8_t next = ByteAt(bytes, found + 1);
    if (next == 0 || (next >= kRst0 && next <= kRst7)) {
      offset = found + 2;
    } else if (next == 0xff) {
      offset = found + 1;
    } else {
      return found;
    }
  }
}

bool IsFrameHeader(uint8_t marker) {
  return marker >= kSof0 && marker <= kSofLast && marker != kDht && marker != kJpg &&
         marker != kDac;
}

absl::StatusOr<ImageHeader> ReadFrameHeader(const Segment& segment) {
  if (segment.data.size() < 6) return BrokenJpeg();
  const int precision = ByteAt(segment.data, 0), components = ByteAt(segment.data, 5);
  const int height = static_cast<int>(BigEndian(segment.data, 1, 2));
  const int width = static_cast<int>(BigEndian(segment.data, 3, 2));
  if (segment.marker != kSof0 && segment.marker != kSof1 && segment.marker != kSof2 &&
      segment.marker != kSof9 && segment.marker != kSof10) {
    return InvalidImage("a lossless or hierarchical JPEG", "baseline or progressive JPEG");
  }
  if (precision != 8) {
    return InvalidImage(absl::StrCat(precision, " bits a sample"), "8 bits a sample");
  }
  if (components == 4) return InvalidImage("a CMYK JPEG", "RGB or grey");
  if (components != 1 && components != 3) {
    return InvalidImage(absl::StrCat("a JPEG of ", components, " components"), "RGB or grey");
  }
  if (width == 0 || height == 0) {
    return InvalidImage(absl::StrCat("a JPEG of ", width, "x", height), "a valid JPEG");
  }
  return ImageHeader{ImageFormat::kJpeg, width, height};
}

// The profile from its APP2 segments (ICC.1:2022, B.4), which may come in any order; empty when one
// is missing.
std::string JoinIcc(const std::vector<absl::string_view>& segments) {
  if (segments.empty()) return "";
  const size_t count = ByteAt(segments.front(), 13);
  if (segments.size() != count) return "";
  std::vector<absl::string_view> ordered(count);
  for (const absl::string_view segment : segments) {
    const size_t number = ByteAt(segment, 12);
    if (number == 0 || number > count || ByteAt(segment, 13) != count) return "";
    if (!ordered[number - 1].empty()) return "";
    ordered[number - 1] = segment;
  }
  std::string icc;
  for (const absl::string_view segment : ordered) absl::StrAppend(&icc, segment.substr(kIccHead));
  return icc.size() <= kMaxIccBytes ? icc : "";
}

}  // namespace

bool IsJpeg(absl::string_view bytes) {
  return absl::StartsWith(bytes, kSoi) && bytes.size() > 2 && bytes[2] == '\xff';
}

absl::StatusOr<ImageHeader> ReadJpegHeader(absl::string_view bytes) {
  size_t offset = kSoi.size();
  for (;;) {
    AD_ASSIGN_OR_RETURN(const Segment segment, NextSegment(bytes, offset));
    if (IsFrameHeader(segment.marker)) return ReadFrameHeader(segment);
    if (segment.marker == kSos || segment.marker == kEoi || segment.marker == kSoiMarker) {
      return BrokenJpeg();
    }
  }
}

absl::StatusOr<ImageMetadata> ReadJpegMetadata(absl::string_view bytes) {
  ImageMetadata metadata;
  std::vector<absl::string_view> icc_segments;
  int frames = 0, scans = 0;
  size_t offset = kSoi.size();
  for (;;) {
    AD_ASSIGN_OR_RETURN(const Segment segment, NextSegment(bytes, offset));
    if (segment.marker == kEoi) break;
    if (IsFrameHeader(segment.marker) && ++frames > 1) return BrokenJpeg();
    if (segment.marker == kSos) {
      if (++scans > kMaxScans) {
        return InvalidImage("a JPEG of more than 100 scans", "at most 100 scans");
      }
      AD_ASSIGN_OR_RETURN(offset, EndOfScan(bytes, offset));
    } else if (segment.marker == kApp1 && absl::StartsWith(segment.data, kExifPrefix)) {
      if (metadata.exif.empty()) metadata.exif = std::string(segment.data.substr(6));
    } else if (segment.marker == kApp2 && absl::StartsWith(segment.data, kIccPrefix) &&
               segment.data.size() > kIccHead && icc_segments.size() < 255) {
      icc_segments.push_back(segment.data);
    }
  }
  if (frames == 0 || scans == 0) return BrokenJpeg();
  metadata.icc = JoinIcc(icc_segments);
  return metadata;
}

}  // namespace antidiffusion
