#include "core/base/utf8.h"

#include <algorithm>

namespace antidiffusion {
namespace {

// Whether the byte goes on with a character that an earlier one began.
bool IsContinuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U; }

// By the first byte of a well-formed character; 0: no character begins so.
size_t LengthBy(unsigned first) {
  if (first < 0x80U) return 1;
  if (first < 0xC2U || first > 0xF4U) return 0;
  return first < 0xE0U ? 2 : first < 0xF0U ? 3 : 4;
}

// The bytes of the well-formed character (RFC 3629, section 4) that `text` begins with; 0: none.
size_t CharacterLength(absl::string_view text) {
  const auto byte = [&](size_t i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const unsigned first = byte(0);
  const unsigned second = byte(1);
  const size_t length = LengthBy(first);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return 0;
  }
  const bool overlong = (first == 0xE0U && second < 0xA0U) || (first == 0xF0U && second < 0x90U);
  const bool surrogate = first == 0xEDU && second >= 0xA0U;
  const bool too_large = first == 0xF4U && second >= 0x90U;
  return overlong || surrogate || too_large ? 0 : length;
}

}  // namespace

size_t CountCharacters(absl::string_view text) {
  return text.size() - static_cast<size_t>(std::count_if(text.begin(), text.end(), IsContinuation));
}

std::string ToValidUtf8(absl::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    const size_t length = CharacterLength(text);
    valid += length == 0 ? "\xEF\xBF\xBD" : std::string(text.substr(0, length));
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return valid;
}

std::string TruncateUtf8(absl::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return std::string(text);
  size_t end = max_bytes;
  while (end > 0 && IsContinuation(text[end])) --end;
  return std::string(text.substr(0, end));
}

}  // namespace antidiffusion
