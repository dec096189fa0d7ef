// What the fuzz targets share. Each defines LLVMFuzzerTestOneInput (libFuzzer's name), which gets
// bytes that nobody vouches for and ends the process when what must hold for them does not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/string_view.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace antidiffusion {

// A finding, unless `holds`.
inline void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "finding: %s\n", what);
  std::abort();
}

// The bytes as the functions under test take them; no copy, so that a sanitizer sees the end.
inline absl::string_view AsText(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace antidiffusion
