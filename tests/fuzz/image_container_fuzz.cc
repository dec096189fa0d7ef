// Everything that is read of an image file before, and beside, its pixels. No pixel is decoded.
#include "core/base/status_details.h"
#include "core/image/formats.h"
#include "tests/fuzz/fuzz.h"

namespace antidiffusion {
namespace {

constexpr DecodeLimits kLimits = {int64_t{1} << 20, 1'000'000, 8};

void CheckError(const absl::Status& status) {
  const auto violation = GetFieldViolation(status);
  Require(absl::IsInvalidArgument(status) && violation.has_value() && violation->field == "image",
          "an image's error does not name the field image");
}

void CheckHeader(absl::string_view bytes) {
  const absl::StatusOr<ImageHeader> header = ReadImageHeader(bytes, kLimits);
  if (!header.ok()) return CheckError(header.status());
  Require(header->width >= kLimits.min_side && header->height >= kLimits.min_side,
          "a side under the limit");
  Require(int64_t{header->width} * header->height <= kLimits.max_pixels, "pixels over the limit");
}

void CheckMetadata(const absl::StatusOr<ImageMetadata>& metadata, size_t file_bytes) {
  if (!metadata.ok()) return CheckError(metadata.status());
  Require(metadata->icc.size() <= kMaxIccBytes, "a profile over the limit");
  // Compressed text is the only thing that may be larger than the file, and has a bound of 1 MiB.
  Require(metadata->exif.size() <= file_bytes + (size_t{1} << 20), "EXIF larger than its file");
}

}  // namespace
}  // namespace antidiffusion

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace antidiffusion;
  const absl::string_view bytes = AsText(data, size);
  CheckHeader(bytes);
  if (IsPng(bytes)) {
    CheckMetadata(ImageMetadata{ReadPngExtras(bytes).exif, ""}, size);
  } else if (IsJpeg(bytes)) {
    CheckMetadata(ReadJpegMetadata(bytes), size);
  } else if (IsWebp(bytes)) {
    CheckMetadata(ReadWebpMetadata(bytes), size);
  }
  return 0;
}
