#include "server/wire/wire.h"

#include <algorithm>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "server/wire/message_conversion.h"

namespace antidiffusion {

worker::v1::Failure ToWire(const absl::Status& status) {
  worker::v1::Failure failure;
  failure.set_code(static_cast<int>(status.code()));
  failure.set_message(std::string(status.message()));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    (*failure.mutable_payloads())[std::string(url)] = std::string(payload);
  });
  return failure;
}

absl::Status FromWire(const worker::v1::Failure& failure) {
  const bool is_code = failure.code() > 0 && failure.code() <= 16;
  const auto code =
      is_code ? static_cast<absl::StatusCode>(failure.code()) : absl::StatusCode::kInternal;
  absl::Status status(code, failure.message());
  for (const auto& [url, payload] : failure.payloads()) {
    status.SetPayload(url, absl::Cord(payload));
  }
  return status;
}

worker::v1::LoadRequest ToWire(const LoadOptions& options) {
  worker::v1::LoadRequest request;
  request.set_directory(options.directory);
  request.set_device(options.device);
  request.set_precision(options.precision);
  request.set_threads(options.threads);
  request.set_tokenizers(options.tokenizers);
  return request;
}

LoadOptions FromWire(const worker::v1::LoadRequest& request) {
  return {.directory = request.directory(),
          .device = request.device(),
          .precision = request.precision(),
          .threads = request.threads(),
          .tokenizers = request.tokenizers()};
}

worker::v1::DeviceMemory ToWire(const DeviceMemory& memory) {
  worker::v1::DeviceMemory message;
  message.set_used(memory.used);
  message.set_reserved(memory.reserved);
  message.set_total(memory.total);
  return message;
}

DeviceMemory FromWire(const worker::v1::DeviceMemory& memory) {
  return {memory.used(), memory.reserved(), memory.total()};
}

worker::v1::Progress ToWire(const Progress& progress) {
  worker::v1::Progress message;
  message.set_stage(progress.stage);
  message.set_step(progress.step);
  message.set_total(progress.total);
  message.set_fraction(progress.fraction);
  message.set_loss(progress.loss);
  message.set_eta_seconds(progress.eta_seconds);
  message.set_step_seconds(progress.step_seconds);
  return message;
}

Progress FromWire(const worker::v1::Progress& progress) {
  return {.stage = progress.stage(),
          .step = progress.step(),
          .total = progress.total(),
          .fraction = progress.fraction(),
          .loss = progress.loss(),
          .eta_seconds = progress.eta_seconds(),
          .step_seconds = progress.step_seconds()};
}

worker::v1::Shape ShapeOf(const Image& image) {
  worker::v1::Shape shape;
  shape.set_width(image.width);
  shape.set_height(image.height);
  shape.set_channels(image.channels);
  return shape;
}

bool IsShapeOf(const worker::v1::Shape& shape, const Image& image) {
  return shape.width() == image.width && shape.height() == image.height &&
         shape.channels() == image.channels;
}

Image EmptyImage(const worker::v1::Shape& shape) {
  Image image{
      std::max(0, shape.width()), std::max(0, shape.height()), std::max(0, shape.channels()), {}};
  image.pixels.reserve(image.size());
  return image;
}

worker::v1::Result ToWire(const ProtectionResult& result) {
  worker::v1::Result message;
  *message.mutable_shape() = ShapeOf(result.image);
  message.set_max_difference(result.max_difference);
  message.set_bound(result.bound);
  message.set_visibility(result.visibility);
  message.set_seed(result.seed);
  message.set_unet_passes(result.unet_passes);
  for (const auto& [stage, seconds] : result.stage_seconds) {
    (*message.mutable_stage_seconds())[stage] = seconds;
  }
  if (result.full.has_value()) *message.mutable_full() = ToProto(*result.full);
  return message;
}

ProtectionResult FromWire(const worker::v1::Result& result) {
  ProtectionResult read;
  read.image = EmptyImage(result.shape());
  read.max_difference = result.max_difference();
  read.visibility = result.visibility();
  read.bound = result.bound();
  read.seed = result.seed();
  read.unet_passes = result.unet_passes();
  read.stage_seconds.insert(result.stage_seconds().begin(), result.stage_seconds().end());
  if (result.has_full()) read.full = FromProto(result.full());
  return read;
}

std::string PixelPiece(const Image& image, size_t offset) {
  const size_t size = std::min(kPixelPiece, image.pixels.size() - offset);
  const auto first = image.pixels.begin() + static_cast<std::ptrdiff_t>(offset);
  return std::string(first, first + static_cast<std::ptrdiff_t>(size));
}

absl::Status AppendPixels(const std::string& piece, Image& image) {
  if (piece.size() > image.size() - image.pixels.size()) {
    return absl::InternalError(absl::StrCat("more samples than the ", image.size(),
                                            " of an image of ", image.width, "x", image.height));
  }
  image.pixels.insert(image.pixels.end(), piece.begin(), piece.end());
  return absl::OkStatus();
}

}  // namespace antidiffusion
