// Text for people: file names and messages come from outside and may hold anything.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace antidiffusion {

// `text` on one line and without power over a terminal: line breaks and tabs become spaces, other
// control characters (escape among them, and the C1 ones of UTF-8) question marks.
std::string PrintableText(absl::string_view text);

// The last `width` characters (UTF-8 code points) of `text`, begun with "..." where some were cut.
std::string LastCharacters(absl::string_view text, int width);

// "7 s", "1:05" (minutes), "1:02:03" (hours); never negative.
std::string FormatSeconds(absl::Duration duration);

}  // namespace antidiffusion
