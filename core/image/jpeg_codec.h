// JPEG by libjpeg itself: OpenCV hides whether the data were damaged, and cannot write without
// chroma subsampling. Thread-safe.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/image/image.h"

namespace antidiffusion {

// Decodes to RGB, or to grey where the file is. `width` and `height` are those of the file's frame
// header, already held to the limits. INVALID_ARGUMENT (field "image"): broken, or a part of the
// pixels is missing or damaged.
absl::StatusOr<Image> DecodeJpeg(absl::string_view bytes, int width, int height);

// `quality` 1..100; 4:4:4. Equal images give equal bytes. INTERNAL: libjpeg failed.
absl::StatusOr<std::string> EncodeJpeg(const Image& image, int quality);

}  // namespace antidiffusion
