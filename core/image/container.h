// The three file formats as sequences of chunks: what is read before, and written after, the pixels
// go through a codec. All input is untrusted; nothing outside of `bytes` is read, nothing is
// decompressed beyond a fixed bound, and every function is linear in the size of the file at worst.
//
// Errors are INVALID_ARGUMENT with the field "image". All functions are thread-safe. The Read
// functions expect bytes for which the format's Is function holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/image/codec.h"

namespace antidiffusion {

// A profile larger than this is not carried along (real ones have 0.5 kB to 2 MB).
inline constexpr size_t kMaxIccBytes = size_t{4} << 20;

// A JPEG segment holds 65,533 bytes: the largest EXIF block that every format can carry.
inline constexpr size_t kMaxJpegExifBytes = 65'533 - 6;

// Metadata as the file has it: EXIF with its own orientation and thumbnail.
struct RawMetadata {
  std::string exif;  // TIFF structure without the "Exif\0\0" prefix
  std::string icc;
};

// InvalidField("image", value, limit).
absl::Status InvalidImage(absl::string_view value, absl::string_view limit);

// --- PNG (ISO/IEC 15948) ---
struct PngHeader {
  ImageHeader image;
  int bit_depth = 8;
  int color_type = 0;  // 0 grey, 2 RGB, 3 palette, 4 grey+alpha, 6 RGBA
};
bool IsPng(absl::string_view bytes);
// Up to the first IDAT. Refuses 16 bits a sample and animations.
absl::StatusOr<PngHeader> ReadPngHeader(absl::string_view bytes);
struct PngContents {
  RawMetadata metadata;
  // Grey images: the stored sample that is transparent (tRNS), or -1.
  int transparent_gray = -1;
};
// The whole file, to IEND; an error when it ends before. Of several profiles, or EXIF blocks in
// text chunks, the first alone is read, whether it can be or not.
absl::StatusOr<PngContents> ReadPng(absl::string_view bytes);
// The file without what carries no pixels: its critical chunks and tRNS, as they are, to IEND.
// libpng unpacks every compressed text and profile that it meets, 8 MB each.
absl::StatusOr<std::string> PixelChunks(absl::string_view bytes);
// `encoded` (a valid PNG of our own) with iCCP and eXIf chunks.
std::string AddPngMetadata(absl::string_view encoded, const RawMetadata& metadata);
// A complete 8-bit grey+alpha PNG, which OpenCV cannot write. Sizes are the image's.
absl::StatusOr<std::string> EncodeGrayAlphaPng(const Image& gray,
                                               const std::vector<uint8_t>& alpha);

// --- JPEG (ITU T.81) ---
bool IsJpeg(absl::string_view bytes);
// Up to the frame header. Refuses CMYK, 12 bits a sample, lossless and hierarchical files.
absl::StatusOr<ImageHeader> ReadJpegHeader(absl::string_view bytes);
// The whole file, to EOI; an error when it ends before, or has so many scans that decoding it would
// be an attack. What follows EOI (cameras put videos and previews there) is ignored.
absl::StatusOr<RawMetadata> ReadJpeg(absl::string_view bytes);
// `encoded` (a valid JPEG of our own) with APP1 and APP2 segments. The EXIF must fit
// kMaxJpegExifBytes.
std::string AddJpegMetadata(absl::string_view encoded, const RawMetadata& metadata);

// --- WebP (RFC 9649) ---
bool IsWebp(absl::string_view bytes);
// The first chunk. Refuses animations.
absl::StatusOr<ImageHeader> ReadWebpHeader(absl::string_view bytes);
// The whole file, to the end that its first bytes tell; an error when it ends before.
absl::StatusOr<RawMetadata> ReadWebp(absl::string_view bytes);
// `encoded` (a valid WebP of our own) in the extended layout with ICCP and EXIF chunks.
std::string AddWebpMetadata(absl::string_view encoded, const RawMetadata& metadata,
                            const ImageHeader& size, bool has_alpha);

}  // namespace antidiffusion
