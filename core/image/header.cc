#include "absl/strings/str_cat.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "core/image/codec.h"
#include "core/image/container.h"

namespace antidiffusion {
namespace {

absl::StatusOr<ImageHeader> ReadHeader(absl::string_view bytes) {
  if (IsPng(bytes)) {
    AD_ASSIGN_OR_RETURN(const PngHeader header, ReadPngHeader(bytes));
    return header.image;
  }
  if (IsJpeg(bytes)) return ReadJpegHeader(bytes);
  if (IsWebp(bytes)) return ReadWebpHeader(bytes);
  return InvalidImage(bytes.empty() ? "no bytes" : "an unknown format", "PNG, JPEG or WebP");
}

}  // namespace

absl::Status InvalidImage(absl::string_view value, absl::string_view limit) {
  return InvalidField("image", value, limit);
}

absl::StatusOr<ImageHeader> ReadImageHeader(absl::string_view bytes, const DecodeLimits& limits) {
  if (static_cast<int64_t>(bytes.size()) > limits.max_bytes) {
    return InvalidImage(absl::StrCat(bytes.size(), " bytes"),
                        absl::StrCat("at most ", limits.max_bytes, " bytes"));
  }
  AD_ASSIGN_OR_RETURN(const ImageHeader header, ReadHeader(bytes));
  const std::string size = absl::StrCat(header.width, "x", header.height);
  if (int64_t{header.width} * header.height > limits.max_pixels) {
    return InvalidImage(size, absl::StrCat("at most ", limits.max_pixels, " pixels"));
  }
  if (header.width < limits.min_side || header.height < limits.min_side) {
    return InvalidImage(size, absl::StrCat("sides of at least ", limits.min_side, " pixels"));
  }
  return header;
}

absl::string_view MimeType(ImageFormat format) {
  switch (format) {
    case ImageFormat::kPng:
      return "image/png";
    case ImageFormat::kJpeg:
      return "image/jpeg";
    case ImageFormat::kWebp:
      return "image/webp";
  }
  return "";
}

absl::string_view FileExtension(ImageFormat format) {
  switch (format) {
    case ImageFormat::kPng:
      return "png";
    case ImageFormat::kJpeg:
      return "jpg";
    case ImageFormat::kWebp:
      return "webp";
  }
  return "";
}

}  // namespace antidiffusion
