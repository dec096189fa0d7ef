// The engine's types as messages between the daemon and a worker process alone, and back. Options:
// option_conversion.h; models and full reports: message_conversion.h.
#pragma once

#include <cstddef>

#include "absl/status/status.h"
#include "antidiffusion/worker/v1/worker.pb.h"
#include "core/api/protector.h"
#include "core/api/run_context.h"
#include "core/image/image.h"

namespace antidiffusion {

// A frame of gRPC is 4 MiB at most.
inline constexpr size_t kPixelPiece = size_t{1} << 20;  // bytes

worker::v1::Failure ToWire(const absl::Status& status);
absl::Status FromWire(const worker::v1::Failure& failure);  // INTERNAL for a code that is none

worker::v1::LoadRequest ToWire(const LoadOptions& options);
LoadOptions FromWire(const worker::v1::LoadRequest& request);

worker::v1::DeviceMemory ToWire(const DeviceMemory& memory);
DeviceMemory FromWire(const worker::v1::DeviceMemory& memory);

worker::v1::Progress ToWire(const Progress& progress);
Progress FromWire(const worker::v1::Progress& progress);

// Without pixels, which travel in pieces.
worker::v1::Shape ShapeOf(const Image& image);
bool IsShapeOf(const worker::v1::Shape& shape, const Image& image);
// Room for an image of a shape that its sender vouches for.
Image EmptyImage(const worker::v1::Shape& shape);

// Without the image's pixels and the device's memory.
worker::v1::Result ToWire(const ProtectionResult& result);
ProtectionResult FromWire(const worker::v1::Result& result);

// The piece of `image` from `offset`.
std::string PixelPiece(const Image& image, size_t offset);
// INTERNAL: more pixels than the shape has.
absl::Status AppendPixels(const std::string& piece, Image& image);
inline bool IsComplete(const Image& image) { return image.pixels.size() == image.size(); }

}  // namespace antidiffusion
