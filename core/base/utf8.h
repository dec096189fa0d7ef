// UTF-8: lengths in characters (code points), cutting and mending. Thread-safe.
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace antidiffusion {

// Characters of valid UTF-8.
size_t CountCharacters(absl::string_view text);

// `text` with each byte that does not belong to a well-formed character (RFC 3629) replaced by
// U+FFFD.
std::string ToValidUtf8(absl::string_view text);

// The longest start of `text` of at most `max_bytes` bytes that does not end inside a character:
// valid UTF-8 stays valid (protobuf's strings hold no other).
std::string TruncateUtf8(absl::string_view text, size_t max_bytes);

}  // namespace antidiffusion
