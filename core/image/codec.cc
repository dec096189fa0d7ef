#include "core/image/codec.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "core/image/catch_exceptions.h"
#include "core/image/formats.h"
#include "core/image/metadata.h"
#include "core/image/samples.h"

namespace antidiffusion {
namespace {

struct Format {
  absl::string_view name, mime_type, extension;
  int max_side;  // pixels
};

// By ImageFormat.
constexpr Format kFormats[] = {{"PNG", "image/png", "png", std::numeric_limits<int>::max()},
                               {"JPEG", "image/jpeg", "jpg", 65'500},
                               {"WEBP", "image/webp", "webp", 16'383}};

const Format& FormatOf(ImageFormat format) { return kFormats[static_cast<size_t>(format)]; }

absl::StatusOr<ImageHeader> ReadHeader(absl::string_view bytes) {
  if (IsPng(bytes)) return ReadPngHeader(bytes);
  if (IsJpeg(bytes)) return ReadJpegHeader(bytes);
  if (IsWebp(bytes)) return ReadWebpHeader(bytes);
  return InvalidImage(bytes.empty() ? "no bytes" : "an unknown format", "PNG, JPEG or WebP");
}

absl::StatusOr<Picture> DecodeByFormat(absl::string_view bytes, const ImageHeader& header) {
  switch (header.format) {
    case ImageFormat::kPng:
      return DecodePng(bytes, header);
    case ImageFormat::kJpeg:
      return DecodeJpeg(bytes, header);
    case ImageFormat::kWebp:
      return DecodeWebp(bytes, header);
  }
  return absl::InternalError("no such format");
}

absl::StatusOr<Picture> Decode(absl::string_view bytes, const DecodeLimits& limits) {
  AD_ASSIGN_OR_RETURN(const ImageHeader header, ReadImageHeader(bytes, limits));
  AD_ASSIGN_OR_RETURN(Picture picture, DecodeByFormat(bytes, header));
  picture.format = header.format;
  NormalizedExif exif = NormalizeExif(picture.metadata.exif, header.width, header.height);
  picture.metadata.exif = std::move(exif.exif);
  picture.metadata.icc = UsableIcc(std::move(picture.metadata.icc));
  ApplyOrientation(exif.orientation, picture.image, picture.alpha);
  return picture;
}

absl::StatusOr<std::string> Encode(const Picture& picture, const EncodeOptions& options) {
  switch (options.format) {
    case ImageFormat::kPng:
      return EncodePng(picture);
    case ImageFormat::kJpeg:
      return EncodeJpeg(picture, options.quality);
    case ImageFormat::kWebp:
      return EncodeWebp(picture, options.quality);
  }
  return absl::InternalError("no such format");
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

absl::string_view MimeType(ImageFormat format) { return FormatOf(format).mime_type; }

absl::string_view FileExtension(ImageFormat format) { return FormatOf(format).extension; }

absl::Status CheckEncodable(const Picture& picture, const EncodeOptions& options) {
  const Image& image = picture.image;
  const size_t samples = static_cast<size_t>(image.width) * static_cast<size_t>(image.height);
  if (image.width < 1 || image.height < 1 || (image.channels != 1 && image.channels != 3) ||
      image.pixels.size() != image.size() ||
      (!picture.alpha.empty() && picture.alpha.size() != samples)) {
    return absl::InvalidArgumentError("a picture whose sizes do not add up");
  }
  if (options.quality < 1 || options.quality > 100) {
    return InvalidField("output.quality", absl::StrCat(options.quality), "[1, 100]");
  }
  const Format& format = FormatOf(options.format);
  if (options.format == ImageFormat::kJpeg) {
    if (!IsOpaque(picture)) {
      return InvalidField("output.format", format.name, "PNG or WEBP: the image has transparency");
    }
    if (picture.metadata.exif.size() > kMaxJpegExifBytes) {
      return InvalidField("output.format", format.name, "PNG or WEBP: EXIF too large for JPEG");
    }
  }
  if (std::max(image.width, image.height) > format.max_side) {
    return InvalidField("output.format",
                        absl::StrCat(format.name, " of ", image.width, "x", image.height),
                        absl::StrCat("sides of at most ", format.max_side, " pixels, or PNG"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Picture> DecodePicture(absl::string_view bytes, const DecodeLimits& limits) {
  return CatchExceptions(absl::StatusCode::kInternal, [&] { return Decode(bytes, limits); });
}

absl::StatusOr<std::string> EncodePicture(const Picture& picture, const EncodeOptions& options) {
  return CatchExceptions(absl::StatusCode::kInternal, [&]() -> absl::StatusOr<std::string> {
    AD_RETURN_IF_ERROR(CheckEncodable(picture, options));
    return Encode(picture, options);
  });
}

}  // namespace antidiffusion
