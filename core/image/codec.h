// Bytes <-> pixels. Input is untrusted: width, height and kind are read from the header and checked
// against the limits before a single pixel is decoded, and memory is bounded by them.
// All functions are thread-safe. The errors of libpng, libjpeg and libwebp and the exceptions of
// OpenCV and exiv2 end here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/image/image.h"

namespace antidiffusion {

enum class ImageFormat { kPng, kJpeg, kWebp };

struct DecodeLimits {
  int64_t max_bytes = int64_t{32} << 20;
  int64_t max_pixels = 50'000'000;
  int min_side = 64;  // pixels
};

struct ImageHeader {
  ImageFormat format = ImageFormat::kPng;
  int width = 0;  // as stored, before EXIF orientation
  int height = 0;
};

// What a file carries beside its pixels. Blobs are raw; empty when absent, or when they cannot be
// read (the orientation is applied all the same, as far as it can be told). Left behind on purpose:
// thumbnails and previews in EXIF, which would show the photograph before protection, and XMP and
// IPTC.
struct ImageMetadata {
  std::string exif;  // at most 65,527 bytes when read; TIFF structure without the "Exif\0\0"
                     // prefix; orientation already reset to 1
  std::string icc;
};

// A decoded file. Orientation has been applied to pixels and alpha.
struct Picture {
  Image image;
  std::vector<uint8_t> alpha;  // width * height samples, or empty
  ImageMetadata metadata;
  ImageFormat format = ImageFormat::kPng;
};

struct EncodeOptions {
  ImageFormat format = ImageFormat::kPng;
  int quality = 95;  // JPEG, WebP: 1..100 (JPEG is written without chroma subsampling)
};

// Reads only the header; microseconds to milliseconds whatever the size of the image.
// INVALID_ARGUMENT (field "image"): neither PNG, JPEG nor WebP; a broken header; over the limits; a
// side under min_side; animated (more than one frame); 16 bits a sample; CMYK.
absl::StatusOr<ImageHeader> ReadImageHeader(absl::string_view bytes, const DecodeLimits& limits);

// Decodes completely. Palettes become RGB (RGBA when transparent), grey stays grey.
// INVALID_ARGUMENT: as ReadImageHeader, and truncated or corrupt data. Bytes behind the image's end
// are ignored (cameras put previews and films there). RESOURCE_EXHAUSTED: no memory.
absl::StatusOr<Picture> DecodePicture(absl::string_view bytes, const DecodeLimits& limits);

// Whether EncodePicture can write the picture so; milliseconds, so that what cannot be written is
// refused before work is put into it. INVALID_ARGUMENT: field "output.format" (a transparent pixel
// or EXIF over 65,527 bytes with JPEG, a side that the format cannot hold), field "output.quality",
// or sizes that do not add up.
absl::Status CheckEncodable(const Picture& picture, const EncodeOptions& options);

// Writes pixels, alpha (not JPEG), EXIF and ICC; equal pictures give equal bytes. WebP has no grey:
// there it becomes RGB. A PNG goes without a profile that libpng finds unsound or that PNG forbids
// (RGB for grey samples, the reverse): readers would ignore it. Errors: those of CheckEncodable;
// INTERNAL: the encoder failed; RESOURCE_EXHAUSTED: no memory.
absl::StatusOr<std::string> EncodePicture(const Picture& picture, const EncodeOptions& options);

absl::string_view MimeType(ImageFormat format);       // image/png ...
absl::string_view FileExtension(ImageFormat format);  // png, jpg, webp

}  // namespace antidiffusion
