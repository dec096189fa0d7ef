// What an EXIF block costs, and its orientation, without a library.
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "core/image/bytes.h"
#include "core/image/metadata.h"

namespace antidiffusion {
namespace {

constexpr size_t kHeaderBytes = 8;
constexpr size_t kEntryBytes = 12;  // tag 2, type 2, count 4, value or its offset 4
constexpr size_t kInlineBytes = 4;  // a value so long lies in its entry
constexpr uint32_t kOrientationTag = 0x0112;
constexpr uint32_t kShort = 3;

uint32_t Read(absl::string_view block, size_t offset, size_t count, bool little) {
  return little ? LittleEndian(block, offset, count) : BigEndian(block, offset, count);
}

// Bytes of one value of a TIFF type; exiv2 takes 1 for a type that it does not know.
uint64_t TypeBytes(uint32_t type) {
  switch (type) {
    case 3:  // SHORT
    case 8:
      return 2;
    case 4:  // LONG
    case 9:
    case 11:
    case 13:
      return 4;
    case 5:  // RATIONAL
    case 10:
    case 12:
    case 16:
    case 17:
    case 18:
      return 8;
    default:
      return 1;
  }
}

// The bytes outside of an entry at `offset` that it asks for; one that asks for what is not there
// gets none. Where offsets count from another place than the block's start, they count from behind
// it, so what lies outside by this lies outside by that.
size_t OutsideBytes(absl::string_view block, size_t offset, bool little) {
  const uint64_t bytes =
      TypeBytes(Read(block, offset + 2, 2, little)) * Read(block, offset + 4, 4, little);
  const uint64_t end = bytes + Read(block, offset + 8, 4, little);
  return bytes > kInlineBytes && end <= block.size() ? static_cast<size_t>(bytes) : 0;
}

}  // namespace

size_t ExifValueBytes(absl::string_view block) {
  size_t bytes = 0;
  for (size_t offset = 0; offset + kEntryBytes <= block.size(); ++offset) {
    bytes += OutsideBytes(block, offset, true) + OutsideBytes(block, offset, false);
  }
  return bytes;
}

int ExifOrientation(absl::string_view block) {
  if (block.size() < kHeaderBytes) return 1;
  const bool little = block.substr(0, 2) == "II";
  if (!little && block.substr(0, 2) != "MM") return 1;
  const size_t directory = Read(block, 4, 4, little);
  if (directory > block.size() || block.size() - directory < 2) return 1;
  const size_t count = Read(block, directory, 2, little);
  for (size_t i = 0; i < count; ++i) {
    const size_t entry = directory + 2 + i * kEntryBytes;
    if (block.size() < entry + kEntryBytes) return 1;
    if (Read(block, entry, 2, little) != kOrientationTag) continue;
    const uint32_t value = Read(block, entry + 8, 2, little);
    const bool valid = Read(block, entry + 2, 2, little) == kShort && value >= 1 && value <= 8;
    return valid ? static_cast<int>(value) : 1;
  }
  return 1;
}

}  // namespace antidiffusion
