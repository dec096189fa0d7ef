// EXIF and ICC blocks. The first two bytes are the image's sides.
#include "core/image/formats.h"
#include "core/image/metadata.h"
#include "tests/fuzz/fuzz.h"

namespace antidiffusion {
namespace {

void CheckExif(const std::string& block, int width, int height) {
  const NormalizedExif first = NormalizeExif(block, width, height);
  Require(first.orientation >= 1 && first.orientation <= 8, "an orientation out of 1..8");
  Require(first.exif.size() <= kMaxJpegExifBytes, "EXIF larger than a JPEG holds");
  if (first.exif.empty()) return;
  const NormalizedExif second = NormalizeExif(first.exif, width, height);
  Require(second.orientation == 1, "the orientation was not reset");
}

void CheckIcc(const std::string& block) {
  const std::string icc = UsableIcc(block);
  Require(icc.empty() || icc == block, "a profile was changed");
  Require(IsGrayIcc(icc) == (!icc.empty() && icc.compare(16, 4, "GRAY") == 0),
          "a profile of another colour");
}

}  // namespace
}  // namespace antidiffusion

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string block(antidiffusion::AsText(data + 2, size - 2));
  antidiffusion::CheckExif(block, data[0] + 1, data[1] + 1);
  antidiffusion::CheckIcc(block);
  return 0;
}
