// SHA-256, as 64 hex digits.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace antidiffusion {

// About a second for 400 MB without the processor's SHA instructions.
std::string Sha256Hex(absl::string_view bytes);

}  // namespace antidiffusion
