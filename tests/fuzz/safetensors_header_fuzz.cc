// The header of a .safetensors file: as it is, and as JSON that is framed here, since few mutations
// keep the length in front of it true.
#include <cstring>
#include <string>

#include "core/checkpoint/safetensors_header.h"
#include "tests/fuzz/fuzz.h"

namespace antidiffusion {
namespace {

constexpr size_t kLengthBytes = 8;

// Whether the entry's bytes are those of its shape.
bool SizeFits(const SafetensorsEntry& entry) {
  auto bits = static_cast<uint64_t>(BitSize(entry.dtype));
  for (const int64_t dimension : entry.shape) {
    if (dimension == 0) return entry.end == entry.begin;
  }
  for (const int64_t dimension : entry.shape) {
    if (__builtin_mul_overflow(bits, static_cast<uint64_t>(dimension), &bits)) return false;
  }
  return bits % 8 == 0 && bits / 8 == entry.end - entry.begin;
}

void Check(absl::string_view file) {
  const absl::StatusOr<SafetensorsEntries> entries = ParseSafetensorsHeader(file);
  if (!entries.ok()) {
    Require(absl::IsDataLoss(entries.status()), "a header's error is not DATA_LOSS");
    return;
  }
  uint64_t bytes = 0;
  for (const auto& [name, entry] : *entries) {
    Require(entry.begin <= entry.end && entry.end <= file.size(), "an entry leaves the file");
    Require(SizeFits(entry), "an entry's size is not that of its shape");
    bytes += entry.end - entry.begin;
  }
  uint64_t header = 0;
  std::memcpy(&header, file.data(), sizeof(header));  // little-endian, as every machine here
  Require(kLengthBytes + header + bytes == file.size(), "the entries do not cover the data");
}

// Two bytes tell how much data follows the JSON.
std::string Framed(absl::string_view input) {
  const size_t data = static_cast<uint8_t>(input[0]) + size_t{256} * static_cast<uint8_t>(input[1]);
  const absl::string_view json = input.substr(2);
  std::string file;
  for (size_t i = 0; i < kLengthBytes; ++i) {
    file.push_back(static_cast<char>(json.size() >> (8 * i)));
  }
  file.append(json.data(), json.size());
  file.append(data, '\0');
  return file;
}

}  // namespace
}  // namespace antidiffusion

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input = antidiffusion::AsText(data, size);
  antidiffusion::Check(input);
  if (size >= 2) antidiffusion::Check(antidiffusion::Framed(input));
  return 0;
}
