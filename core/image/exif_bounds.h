// What an untrusted EXIF block costs, and its orientation, without a library. Thread-safe.
#pragma once

#include <cstddef>

#include "absl/strings/string_view.h"

namespace antidiffusion {

// At least the bytes that the values of all directories of `block` (a TIFF structure) take when
// each is copied. Entries may share bytes, so a block of 64 kB can ask for hundreds of MB.
// Directories lie anywhere (those of maker notes as each maker pleases), so whatever looks like an
// entry counts, in either byte order: more than the truth where a table of numbers looks like
// entries, never less for a directory that is read once. Linear time.
size_t ExifValueBytes(absl::string_view block);

// The orientation of the first directory, 1..8; 1 when there is none.
int ExifOrientation(absl::string_view block);

}  // namespace antidiffusion
