// Everything that is read of an image file before, and beside, its pixels. No pixel is decoded.
#include "core/base/status_details.h"
#include "core/image/container.h"
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

void CheckMetadata(const absl::StatusOr<RawMetadata>& metadata, size_t file_bytes) {
  if (!metadata.ok()) return CheckError(metadata.status());
  Require(metadata->icc.size() <= kMaxIccBytes, "a profile over the limit");
  // Compressed text is the only thing that may be larger than the file, and has a bound of 1 MiB.
  Require(metadata->exif.size() <= file_bytes + (size_t{1} << 20), "EXIF larger than its file");
}

void CheckPng(absl::string_view bytes) {
  const absl::StatusOr<PngContents> contents = ReadPng(bytes);
  const absl::StatusOr<std::string> pixels = PixelChunks(bytes);
  CheckMetadata(contents.ok() ? absl::StatusOr<RawMetadata>(contents->metadata) : contents.status(),
                bytes.size());
  if (!contents.ok()) return;
  Require(pixels.ok() && pixels->size() <= bytes.size(), "a PNG that is read gives no pixels");
  const absl::StatusOr<PngContents> again = ReadPng(*pixels);
  Require(again.ok() && again->metadata.exif.empty() && again->metadata.icc.empty(),
          "metadata among the pixels' chunks");
  Require(again->transparent_gray == contents->transparent_gray, "transparency is lost");
  const absl::StatusOr<std::string> twice = PixelChunks(*pixels);
  Require(twice.ok() && *twice == *pixels, "the pixels' chunks of pixels' chunks differ");
}

}  // namespace
}  // namespace antidiffusion

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes = antidiffusion::AsText(data, size);
  antidiffusion::CheckHeader(bytes);
  if (antidiffusion::IsPng(bytes)) {
    antidiffusion::CheckPng(bytes);
  } else if (antidiffusion::IsJpeg(bytes)) {
    antidiffusion::CheckMetadata(antidiffusion::ReadJpeg(bytes), size);
  } else if (antidiffusion::IsWebp(bytes)) {
    antidiffusion::CheckMetadata(antidiffusion::ReadWebp(bytes), size);
  }
  return 0;
}
