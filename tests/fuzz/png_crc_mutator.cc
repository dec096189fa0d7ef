// libFuzzer's own mutations, after which the checksums of a PNG's chunks are made right again: a
// chunk whose checksum is wrong is hardly looked at. Every eighth PNG stays as it came out.
#include <zlib.h>

#include <cstddef>
#include <cstdint>

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed);

namespace {

constexpr size_t kSignature = 8;
constexpr size_t kAround = 12;  // length, type, checksum

uint32_t Read32(const uint8_t* at) {
  return uint32_t{at[0]} << 24 | uint32_t{at[1]} << 16 | uint32_t{at[2]} << 8 | at[3];
}

void MendChecksums(uint8_t* data, size_t size) {
  size_t offset = kSignature;
  while (size >= offset && size - offset >= kAround) {
    const uint32_t length = Read32(data + offset);
    if (length > size - offset - kAround) return;
    const uint8_t* const type = data + offset + 4;
    const auto crc = static_cast<uint32_t>(crc32(0, type, length + 4));
    uint8_t* const place = data + offset + 8 + length;
    for (size_t i = 0; i < 4; ++i) place[i] = static_cast<uint8_t>(crc >> (24 - 8 * i));
    offset += kAround + length;
  }
}

}  // namespace

size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  const size_t mutated = LLVMFuzzerMutate(data, size, max_size);
  const bool is_png = mutated > kSignature && data[0] == 0x89 && data[1] == 'P';
  if (is_png && seed % 8 != 0) MendChecksums(data, mutated);
  return mutated;
}
