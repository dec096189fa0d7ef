#include "core/image/codec.h"

#include <limits>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "core/image/catch_exceptions.h"
#include "core/image/container.h"
#include "core/image/jpeg_codec.h"
#include "core/image/metadata.h"
#include "core/image/orientation.h"

namespace antidiffusion {
namespace {

constexpr int kMaxWebpSide = 16'383;
constexpr int kMaxJpegSide = 65'500;

// The samples as stored, in OpenCV's order: grey, BGR or BGRA.
absl::StatusOr<cv::Mat> DecodeByOpenCv(absl::string_view bytes, const ImageHeader& header) {
  cv::Mat decoded;
  const absl::Status status = CatchExceptions(absl::StatusCode::kInvalidArgument, [&] {
    if (bytes.size() > static_cast<size_t>(std::numeric_limits<int>::max())) {
      return absl::InvalidArgumentError("over 2 GiB");
    }
    const cv::Mat buffer(1, static_cast<int>(bytes.size()), CV_8U, const_cast<char*>(bytes.data()));
    decoded = cv::imdecode(buffer, cv::IMREAD_UNCHANGED);
    return absl::OkStatus();
  });
  if (absl::IsResourceExhausted(status)) return status;
  if (!status.ok() || decoded.empty() || decoded.cols != header.width ||
      decoded.rows != header.height || decoded.depth() != CV_8U) {
    return InvalidImage(absl::StrCat("broken data", status.ok() ? "" : ": ", status.message()),
                        absl::StrCat("a valid ", MimeType(header.format)));
  }
  return decoded;
}

// Splits OpenCV's samples into an image and its alpha. `gray`: the first channel stands for all
// three (OpenCV repeats the grey of a grey+alpha PNG).
void SplitSamples(const cv::Mat& decoded, bool gray, Picture& picture) {
  Image& image = picture.image;
  image = {decoded.cols, decoded.rows, gray ? 1 : 3, {}};
  image.pixels.resize(image.size());
  std::vector<cv::Mat> targets;
  targets.emplace_back(decoded.rows, decoded.cols, CV_8UC(image.channels), image.pixels.data());
  std::vector<int> from_to = gray ? std::vector<int>{0, 0} : std::vector<int>{0, 2, 1, 1, 2, 0};
  if (decoded.channels() == 4) {
    picture.alpha.resize(decoded.total());
    targets.emplace_back(decoded.rows, decoded.cols, CV_8UC1, picture.alpha.data());
    from_to.insert(from_to.end(), {3, image.channels});
  }
  cv::mixChannels(&decoded, 1, targets.data(), targets.size(), from_to.data(), from_to.size() / 2);
}

absl::Status DecodePng(absl::string_view bytes, Picture& picture, RawMetadata& metadata) {
  AD_ASSIGN_OR_RETURN(const PngHeader header, ReadPngHeader(bytes));
  AD_ASSIGN_OR_RETURN(PngContents contents, ReadPng(bytes));
  AD_ASSIGN_OR_RETURN(const std::string pixels, PixelChunks(bytes));
  AD_ASSIGN_OR_RETURN(const cv::Mat decoded, DecodeByOpenCv(pixels, header.image));
  const bool gray = header.color_type == 0 || header.color_type == 4;
  SplitSamples(decoded, gray, picture);
  // OpenCV forgets the transparent level of a grey image.
  const int levels = 1 << header.bit_depth;
  if (contents.transparent_gray >= 0 && contents.transparent_gray < levels) {
    const int transparent = contents.transparent_gray * 255 / (levels - 1);
    picture.alpha.resize(picture.image.pixels.size());
    for (size_t i = 0; i < picture.alpha.size(); ++i) {
      picture.alpha[i] = picture.image.pixels[i] == transparent ? 0 : 255;
    }
  }
  metadata = std::move(contents.metadata);
  return absl::OkStatus();
}

absl::Status DecodeWebp(absl::string_view bytes, const ImageHeader& header, Picture& picture,
                        RawMetadata& metadata) {
  AD_ASSIGN_OR_RETURN(metadata, ReadWebp(bytes));
  AD_ASSIGN_OR_RETURN(const cv::Mat decoded, DecodeByOpenCv(bytes, header));
  SplitSamples(decoded, false, picture);
  return absl::OkStatus();
}

absl::Status DecodeByFormat(absl::string_view bytes, const ImageHeader& header, Picture& picture,
                            RawMetadata& metadata) {
  picture.format = header.format;
  switch (header.format) {
    case ImageFormat::kPng:
      return DecodePng(bytes, picture, metadata);
    case ImageFormat::kWebp:
      return DecodeWebp(bytes, header, picture, metadata);
    case ImageFormat::kJpeg: {
      AD_ASSIGN_OR_RETURN(metadata, ReadJpeg(bytes));
      AD_ASSIGN_OR_RETURN(picture.image, DecodeJpeg(bytes, header.width, header.height));
      return absl::OkStatus();
    }
  }
  return absl::InternalError("no such format");
}

std::string FormatName(ImageFormat format) {
  switch (format) {
    case ImageFormat::kPng:
      return "PNG";
    case ImageFormat::kJpeg:
      return "JPEG";
    case ImageFormat::kWebp:
      return "WEBP";
  }
  return "";
}

// The image in OpenCV's order; `always_color`: grey is written as BGR.
cv::Mat JoinSamples(const Picture& picture, bool always_color) {
  const Image& image = picture.image;
  const bool gray = image.channels == 1;
  cv::Mat samples(image.height, image.width, CV_8UC(image.channels),
                  const_cast<uint8_t*>(image.pixels.data()));
  if (gray && picture.alpha.empty() && !always_color) return samples;
  std::vector<cv::Mat> sources = {samples};
  std::vector<int> from_to =
      gray ? std::vector<int>{0, 0, 0, 1, 0, 2} : std::vector<int>{0, 2, 1, 1, 2, 0};
  if (!picture.alpha.empty()) {
    sources.emplace_back(image.height, image.width, CV_8UC1,
                         const_cast<uint8_t*>(picture.alpha.data()));
    from_to.insert(from_to.end(), {image.channels, 3});
  }
  cv::Mat joined(image.height, image.width, picture.alpha.empty() ? CV_8UC3 : CV_8UC4);
  cv::mixChannels(sources.data(), sources.size(), &joined, 1, from_to.data(), from_to.size() / 2);
  return joined;
}

absl::StatusOr<std::string> EncodeByOpenCv(const Picture& picture, const EncodeOptions& options) {
  const bool webp = options.format == ImageFormat::kWebp;
  std::vector<uint8_t> bytes;
  AD_RETURN_IF_ERROR(CatchExceptions(absl::StatusCode::kInternal, [&] {
    // PNG by OpenCV's own choice: on a photograph 4 % larger than zlib's level 6 in a fifth of the
    // time, and with the noise of a protection smaller.
    const std::vector<int> parameters =
        webp ? std::vector<int>{cv::IMWRITE_WEBP_QUALITY, options.quality} : std::vector<int>{};
    if (!cv::imencode(webp ? ".webp" : ".png", JoinSamples(picture, webp), bytes, parameters)) {
      return absl::InternalError("OpenCV cannot encode the image");
    }
    return absl::OkStatus();
  }));
  return std::string(bytes.begin(), bytes.end());
}

absl::StatusOr<Picture> Decode(absl::string_view bytes, const DecodeLimits& limits) {
  AD_ASSIGN_OR_RETURN(const ImageHeader header, ReadImageHeader(bytes, limits));
  Picture picture;
  RawMetadata metadata;
  AD_RETURN_IF_ERROR(DecodeByFormat(bytes, header, picture, metadata));
  NormalizedExif exif = NormalizeExif(metadata.exif, header.width, header.height);
  picture.metadata.exif = std::move(exif.exif);
  picture.metadata.icc = UsableIcc(std::move(metadata.icc));
  ApplyOrientation(exif.orientation, picture.image, picture.alpha);
  return picture;
}

absl::StatusOr<std::string> Encode(const Picture& picture, const EncodeOptions& options) {
  const Image& image = picture.image;
  RawMetadata metadata{picture.metadata.exif, picture.metadata.icc};
  switch (options.format) {
    case ImageFormat::kPng: {
      const bool gray_alpha = image.channels == 1 && !picture.alpha.empty();
      AD_ASSIGN_OR_RETURN(const std::string encoded, gray_alpha
                                                         ? EncodeGrayAlphaPng(image, picture.alpha)
                                                         : EncodeByOpenCv(picture, options));
      return AddPngMetadata(encoded, metadata);
    }
    case ImageFormat::kJpeg: {
      AD_ASSIGN_OR_RETURN(const std::string encoded, EncodeJpeg(image, options.quality));
      return AddJpegMetadata(encoded, metadata);
    }
    case ImageFormat::kWebp: {
      AD_ASSIGN_OR_RETURN(std::string encoded, EncodeByOpenCv(picture, options));
      // WebP has no grey: the samples are RGB now, and a grey profile would not fit them.
      if (image.channels == 1 && IsGrayIcc(metadata.icc)) metadata.icc.clear();
      if (metadata.exif.empty() && metadata.icc.empty()) return encoded;
      return AddWebpMetadata(encoded, metadata, {options.format, image.width, image.height},
                             !picture.alpha.empty());
    }
  }
  return absl::InternalError("no such format");
}

}  // namespace

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
  const std::string format = FormatName(options.format);
  if (options.format == ImageFormat::kJpeg) {
    if (!picture.alpha.empty()) {
      return InvalidField("output.format", format, "PNG or WEBP: the image has transparency");
    }
    if (picture.metadata.exif.size() > kMaxJpegExifBytes) {
      return InvalidField("output.format", format, "PNG or WEBP: EXIF too large for JPEG");
    }
  }
  const int max_side = options.format == ImageFormat::kJpeg   ? kMaxJpegSide
                       : options.format == ImageFormat::kWebp ? kMaxWebpSide
                                                              : std::numeric_limits<int>::max();
  if (std::max(image.width, image.height) > max_side) {
    return InvalidField("output.format",
                        absl::StrCat(format, " of ", image.width, "x", image.height),
                        absl::StrCat("sides of at most ", max_side, " pixels, or PNG"));
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
