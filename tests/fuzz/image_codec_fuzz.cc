// Bytes -> pixels -> bytes: what can be decoded can be written in every format that takes it, and a
// PNG of it gives the same picture back (but perhaps for its profile). The limits keep a single
// input cheap.
#include <algorithm>

#include "core/base/status_details.h"
#include "core/image/codec.h"
#include "tests/fuzz/fuzz.h"

namespace antidiffusion {
namespace {

constexpr DecodeLimits kLimits = {int64_t{1} << 20, int64_t{1} << 20, 1};
constexpr size_t kMostWritten = size_t{1} << 16;  // samples of a picture that is also encoded

void CheckPicture(const Picture& picture, const ImageHeader& header) {
  const Image& image = picture.image;
  const bool same = image.width == header.width && image.height == header.height;
  const bool turned = image.width == header.height && image.height == header.width;
  Require(same || turned, "sides that are not the header's");
  Require(image.channels == 1 || image.channels == 3, "neither grey nor RGB");
  Require(image.pixels.size() == image.size(), "pixels of another size");
  Require(picture.alpha.empty() ||
              picture.alpha.size() == image.size() / static_cast<size_t>(image.channels),
          "alpha of another size");
  Require(picture.format == header.format, "another format than the header's");
}

void CheckLossless(const Picture& picture, const std::string& png) {
  DecodeLimits limits = kLimits;
  limits.max_bytes = int64_t{16} << 20;  // a profile may unpack to more than its file
  const absl::StatusOr<Picture> again = DecodePicture(png, limits);
  Require(again.ok(), "a PNG of ours cannot be read");
  Require(again->image == picture.image, "a PNG of ours has other pixels");
  Require(again->alpha == picture.alpha, "a PNG of ours has another alpha");
  // libpng leaves out what is unsound or does not fit the samples.
  Require(again->metadata.icc.empty() || again->metadata.icc == picture.metadata.icc,
          "a PNG of ours has another profile");
  Require(again->metadata.exif.empty() == picture.metadata.exif.empty(), "EXIF is lost");
}

void CheckEncoding(const Picture& picture) {
  for (const ImageFormat format : {ImageFormat::kPng, ImageFormat::kJpeg, ImageFormat::kWebp}) {
    const EncodeOptions options{format, 90};
    const absl::Status encodable = CheckEncodable(picture, options);
    const absl::StatusOr<std::string> bytes = EncodePicture(picture, options);
    Require(bytes.status() == encodable, "CheckEncodable and EncodePicture disagree");
    if (!bytes.ok()) continue;
    Require(DecodePicture(*bytes, {int64_t{16} << 20, kLimits.max_pixels, 1}).ok(),
            "a file of ours cannot be read");
    if (format == ImageFormat::kPng) CheckLossless(picture, *bytes);
  }
}

}  // namespace
}  // namespace antidiffusion

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace antidiffusion;
  const absl::string_view bytes = AsText(data, size);
  const absl::StatusOr<ImageHeader> header = ReadImageHeader(bytes, kLimits);
  const absl::StatusOr<Picture> picture = DecodePicture(bytes, kLimits);
  if (!picture.ok()) {
    const auto violation = GetFieldViolation(picture.status());
    Require(absl::IsInvalidArgument(picture.status()) && violation && violation->field == "image",
            "an image's error does not name the field image");
    return 0;
  }
  Require(header.ok(), "an image is decoded whose header is refused");
  CheckPicture(*picture, *header);
  if (picture->image.pixels.size() <= kMostWritten) CheckEncoding(*picture);
  return 0;
}
