#include "core/image/metadata.h"

#include <algorithm>
#include <array>
#include <exception>
#include <exiv2/exiv2.hpp>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/image/bytes.h"
#include "core/image/formats.h"

namespace antidiffusion {
namespace {

constexpr char kOrientation[] = "Exif.Image.Orientation";
// Smaller values cannot hold a picture that shows anything.
constexpr size_t kSmallestPreview = 256;
// exiv2 copies the value of every entry. Of the blocks of 48 cameras the largest measures 2.9 MB by
// this generous count, its own length 80 times; a hostile one may measure 230 MB, and takes 2.3
// times that.
constexpr size_t kMaxExifValueBytes = size_t{16} << 20;

// exiv2 writes what it finds odd in a file to stderr; the files are strangers'.
void SilenceExiv2() {
  static const bool silenced = [] {
    Exiv2::LogMsg::setLevel(Exiv2::LogMsg::mute);
    return true;
  }();
  static_cast<void>(silenced);
}

bool HoldsJpeg(const Exiv2::DataBuf& data) {
  static constexpr Exiv2::byte kStart[] = {0xff, 0xd8, 0xff};
  if (data.pData_ == nullptr) return false;
  const Exiv2::byte* begin = data.pData_;
  const Exiv2::byte* end = begin + data.size_;
  return std::search(begin, end, std::begin(kStart), std::end(kStart)) != end;
}

// Previews lie in IFD1 and, in a way of each maker's own, in maker notes and sub-IFDs. So whatever
// holds a JPEG stream goes.
bool IsPreview(const Exiv2::Exifdatum& datum) {
  if (datum.sizeDataArea() > 0) return true;
  if (static_cast<size_t>(std::max(0L, datum.size())) < kSmallestPreview) return false;
  // Where the values are no bytes, the file may have them in either order.
  return std::ranges::any_of(std::array{Exiv2::bigEndian, Exiv2::littleEndian},
                             [&datum](Exiv2::ByteOrder order) {
                               Exiv2::DataBuf data(datum.size());
                               datum.copy(data.pData_, order);
                               return HoldsJpeg(data);
                             });
}

void DropPreviews(Exiv2::ExifData& exif) {
  Exiv2::ExifThumb(exif).erase();
  for (auto datum = exif.begin(); datum != exif.end();) {
    datum = IsPreview(*datum) ? exif.erase(datum) : std::next(datum);
  }
}

void Replace(Exiv2::ExifData& exif, const char* key, int value) {
  const auto datum = exif.findKey(Exiv2::ExifKey(key));
  if (datum != exif.end()) datum->setValue(std::to_string(value));
}

int ReadOrientation(const Exiv2::ExifData& exif) {
  const auto datum = exif.findKey(Exiv2::ExifKey(kOrientation));
  if (datum == exif.end() || datum->count() == 0) return 1;
  const long value = datum->toLong();
  return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
}

// Nothing when exiv2 finds no EXIF in the block.
std::optional<NormalizedExif> Normalize(const std::string& block, int width, int height) {
  Exiv2::ExifData exif;
  const Exiv2::ByteOrder order =
      Exiv2::ExifParser::decode(exif, reinterpret_cast<const Exiv2::byte*>(block.data()),
                                static_cast<uint32_t>(block.size()));
  if (order == Exiv2::invalidByteOrder || exif.empty()) return std::nullopt;
  NormalizedExif result{"", ReadOrientation(exif)};
  if (result.orientation >= 5) std::swap(width, height);
  Replace(exif, kOrientation, 1);
  Replace(exif, "Exif.Image.ImageWidth", width);
  Replace(exif, "Exif.Image.ImageLength", height);
  Replace(exif, "Exif.Photo.PixelXDimension", width);
  Replace(exif, "Exif.Photo.PixelYDimension", height);
  DropPreviews(exif);
  Exiv2::Blob blob;
  Exiv2::ExifParser::encode(blob, order, exif);
  // Values that shared bytes are written one after the other.
  if (blob.size() <= kMaxJpegExifBytes) result.exif.assign(blob.begin(), blob.end());
  return result;
}

absl::string_view ColorSpace(const std::string& icc) {
  return absl::string_view(icc).substr(16, 4);
}

}  // namespace

NormalizedExif NormalizeExif(const std::string& exif, int width, int height) {
  // No more than a JPEG holds, for which EXIF was made.
  NormalizedExif orientation_alone{"", ExifOrientation(exif)};
  if (exif.size() > kMaxJpegExifBytes || ExifValueBytes(exif) > kMaxExifValueBytes) {
    return orientation_alone;
  }
  SilenceExiv2();
  try {
    return Normalize(exif, width, height).value_or(orientation_alone);
  } catch (const Exiv2::AnyError&) {
    return orientation_alone;
  } catch (const std::exception&) {
    return orientation_alone;
  }
}

std::string UsableIcc(std::string icc) {
  // ICC.1:2022, 7.2: 128 bytes of header, its own size first, "acsp" at 36.
  if (icc.size() < 128 || icc.compare(36, 4, "acsp") != 0) return "";
  if (BigEndian(icc, 0, 4) > icc.size()) return "";
  if (ColorSpace(icc) != "RGB " && ColorSpace(icc) != "GRAY") return "";
  return icc;
}

bool IsGrayIcc(const std::string& icc) { return icc.size() >= 20 && ColorSpace(icc) == "GRAY"; }

}  // namespace antidiffusion
