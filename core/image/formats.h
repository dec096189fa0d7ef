// What codec.cc needs of each of the three file formats.
//
// All input is untrusted: nothing outside of `bytes` is read, nothing is unpacked beyond a fixed
// bound, and reading headers and metadata takes time linear in the size of the file at worst. All
// functions are thread-safe. Reading functions return INVALID_ARGUMENT with the field "image", or
// RESOURCE_EXHAUSTED without memory; they expect bytes for which the format's Is function holds.
// Writing functions expect what CheckEncodable accepts and return INTERNAL when a library fails.
//
// The Decode functions expect the header that the format's Read...Header function gave, already
// held to the limits. Their Picture is the file's: pixels not turned, EXIF with its own orientation
// and thumbnail and without the prefix "Exif\0\0", a profile that nobody has looked at.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/image/codec.h"

namespace antidiffusion {

// A profile larger than this is not carried along (real ones have 0.5 kB to 2 MB).
inline constexpr size_t kMaxIccBytes = size_t{4} << 20;

// A JPEG segment holds 65,533 bytes: the largest EXIF block that every format can carry.
inline constexpr size_t kMaxJpegExifBytes = 65'533 - 6;

// What JPEG puts before EXIF; some writers copy it into other formats.
inline constexpr absl::string_view kExifPrefix("Exif\0\0", 6);

// InvalidField("image", value, limit).
absl::Status InvalidImage(absl::string_view value, absl::string_view limit);

// --- PNG (ISO/IEC 15948) ---
bool IsPng(absl::string_view bytes);
// Up to the first IDAT. Refuses 16 bits a sample, and animations of more than one frame.
absl::StatusOr<ImageHeader> ReadPngHeader(absl::string_view bytes);
struct PngExtras {
  std::string exif;  // of the first eXIf chunk, else of the text chunk that old tools used
  int profiles = 0;  // iCCP chunks
};
// To IEND, or where the file is cut off: EXIF may follow the pixels.
PngExtras ReadPngExtras(absl::string_view bytes);
// An error when the file ends before IEND. A profile that libpng refuses is left out, as are
// several (the standard allows one, and each may unpack to far more than its chunk).
absl::StatusOr<Picture> DecodePng(absl::string_view bytes, const ImageHeader& header);
absl::StatusOr<std::string> EncodePng(const Picture& picture);

// --- JPEG (ITU T.81) ---
bool IsJpeg(absl::string_view bytes);
// Up to the frame header. Refuses CMYK, 12 bits a sample, lossless and hierarchical files.
absl::StatusOr<ImageHeader> ReadJpegHeader(absl::string_view bytes);
// The whole file, to EOI; an error when it ends before, or has so many scans that decoding it would
// be an attack. What follows EOI (cameras put videos and previews there) is ignored.
absl::StatusOr<ImageMetadata> ReadJpegMetadata(absl::string_view bytes);
// An error, too, when a part of the pixels is missing or damaged.
absl::StatusOr<Picture> DecodeJpeg(absl::string_view bytes, const ImageHeader& header);
// `quality` 1..100; no chroma subsampling; alpha is not written.
absl::StatusOr<std::string> EncodeJpeg(const Picture& picture, int quality);

// --- WebP (RFC 9649) ---
bool IsWebp(absl::string_view bytes);
// Up to the first frame's header. Refuses animations of more than one frame.
absl::StatusOr<ImageHeader> ReadWebpHeader(absl::string_view bytes);
// The whole file, to the end that its first bytes tell; an error when it ends before.
absl::StatusOr<ImageMetadata> ReadWebpMetadata(absl::string_view bytes);
absl::StatusOr<Picture> DecodeWebp(absl::string_view bytes, const ImageHeader& header);
// `quality` 1..100. Grey is written as RGB, without a profile that is for grey samples.
absl::StatusOr<std::string> EncodeWebp(const Picture& picture, int quality);

}  // namespace antidiffusion
