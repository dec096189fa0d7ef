// What is done to EXIF and ICC blocks between two files. Thread-safe.
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace antidiffusion {

struct NormalizedExif {
  std::string exif;     // rewritten; empty when there was none, none that can be read, when it is,
                        // before or after, larger than a JPEG can hold (65,527 bytes), or when its
                        // entries share bytes so often that their values would take over 16 MiB
  int orientation = 1;  // 1..8, what the file asked for (EXIF 2.32, 4.6.4 A: Orientation), also
                        // when the rest is dropped
};

// Rewrites an EXIF block (a TIFF structure, untrusted) for an image whose pixels have been turned
// upright: orientation 1, and sides as they are then. `width` and `height` are those of the stored
// pixels.
//
// Thumbnails and embedded previews are dropped: they would show the photograph as it was before
// protection.
NormalizedExif NormalizeExif(const std::string& exif, int width, int height);

// At least the bytes that the values of all directories of `block` (a TIFF structure) take when
// each is copied. Entries may share bytes, so a block of 64 kB can ask for hundreds of MB.
// Directories lie anywhere (those of maker notes as each maker pleases), so whatever looks like an
// entry counts, in either byte order: more than the truth where a table of numbers looks like
// entries, never less for a directory that is read once. Linear time.
size_t ExifValueBytes(absl::string_view block);

// The orientation of the first directory, 1..8; 1 when there is none. Reads no other bytes.
int ExifOrientation(absl::string_view block);

// `icc` when it is an ICC profile for RGB or grey samples, else nothing.
std::string UsableIcc(std::string icc);

// Whether the profile describes grey samples; such a profile fits no RGB image.
bool IsGrayIcc(const std::string& icc);

}  // namespace antidiffusion
