#include "client/terminal_text.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace antidiffusion {
namespace {

bool StartsCodePoint(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }

}  // namespace

std::string PrintableText(absl::string_view text) {
  std::string printable;
  printable.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool c1 = byte == 0xC2 && i + 1 < text.size() &&
                    static_cast<unsigned char>(text[i + 1]) >= 0x80 &&
                    static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (byte == '\n' || byte == '\r' || byte == '\t') {
      printable.push_back(' ');
    } else if (c1) {
      printable.push_back('?');
      ++i;
    } else if (byte < 0x20 || byte == 0x7F) {
      printable.push_back('?');
    } else {
      printable.push_back(text[i]);
    }
  }
  return printable;
}

std::string LastCharacters(absl::string_view text, int width) {
  std::vector<size_t> starts;
  for (size_t i = 0; i < text.size(); ++i) {
    if (StartsCodePoint(text[i])) starts.push_back(i);
  }
  const auto wanted = static_cast<size_t>(std::max(width, 0));
  if (starts.size() <= wanted) return std::string(text);
  if (wanted <= 3) return std::string(wanted, '.');
  return absl::StrCat("...", text.substr(starts[starts.size() - (wanted - 3)]));
}

std::string FormatSeconds(absl::Duration duration) {
  const double clamped = std::clamp(absl::ToDoubleSeconds(duration), 0.0, 1e9);
  const auto seconds = static_cast<int64_t>(std::llround(clamped));
  if (seconds < 60) return absl::StrCat(seconds, " s");
  if (seconds < 3600) return absl::StrFormat("%d:%02d", seconds / 60, seconds % 60);
  return absl::StrFormat("%d:%02d:%02d", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

}  // namespace antidiffusion
