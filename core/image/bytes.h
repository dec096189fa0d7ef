// Integers in untrusted bytes. The caller has checked that they lie inside of `bytes`.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace antidiffusion {

inline uint8_t ByteAt(absl::string_view bytes, size_t offset) {
  return static_cast<uint8_t>(bytes[offset]);
}

// The `count` (1..4) bytes at `offset` as an unsigned integer, most significant byte first.
inline uint32_t BigEndian(absl::string_view bytes, size_t offset, size_t count) {
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) value = (value << 8) | ByteAt(bytes, offset + i);
  return value;
}

// The same, least significant byte first.
inline uint32_t LittleEndian(absl::string_view bytes, size_t offset, size_t count) {
  uint32_t value = 0;
  for (size_t i = count; i > 0; --i) value = (value << 8) | ByteAt(bytes, offset + i - 1);
  return value;
}

}  // namespace antidiffusion
