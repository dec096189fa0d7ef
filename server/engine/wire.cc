#include "server/engine/wire.h"

#include <algorithm>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace antidiffusion {
namespace {

void ToWire(const Probe& probe, worker::v1::Probe& message) {
  message.set_denoising_loss(probe.denoising_loss);
  message.set_attention_concentration(probe.attention_concentration);
  message.set_gain_left(probe.gain_left);
}

Probe FromWire(const worker::v1::Probe& message) {
  return {message.denoising_loss(), message.attention_concentration(), message.gain_left()};
}

}  // namespace

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
  return request;
}

LoadOptions FromWire(const worker::v1::LoadRequest& request) {
  return {request.directory(), request.device(), request.precision(), request.threads()};
}

worker::v1::ModelInfo ToWire(const ModelInfo& info) {
  worker::v1::ModelInfo message;
  message.set_name(info.name);
  message.set_family(info.family);
  message.set_prediction_type(info.prediction_type);
  message.set_native_side(info.native_side);
  message.set_digest(info.digest);
  message.set_device(info.device);
  message.set_precision(info.precision);
  return message;
}

ModelInfo FromWire(const worker::v1::ModelInfo& info) {
  return {info.name(),   info.family(), info.prediction_type(), info.native_side(),
          info.digest(), info.device(), info.precision()};
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

worker::v1::Options ToWire(const ProtectionOptions& options) {
  worker::v1::Options message;
  message.set_method(static_cast<int>(options.method));
  message.set_mode(static_cast<int>(options.mode));
  message.set_effort(static_cast<int>(options.effort));
  message.set_budget_levels(options.budget_levels);
  if (options.seed.has_value()) message.set_seed(*options.seed);
  message.set_prompt(options.prompt);
  message.set_report(static_cast<int>(options.report));
  if (options.epochs.has_value()) message.set_epochs(*options.epochs);
  if (options.prompt_steps.has_value()) message.set_prompt_steps(*options.prompt_steps);
  if (options.pgd_steps.has_value()) message.set_pgd_steps(*options.pgd_steps);
  if (options.tuning_steps.has_value()) message.set_tuning_steps(*options.tuning_steps);
  if (options.step_size_levels.has_value()) {
    message.set_step_size_levels(*options.step_size_levels);
  }
  if (options.prompt_lr.has_value()) message.set_prompt_lr(*options.prompt_lr);
  if (options.tuning_lr.has_value()) message.set_tuning_lr(*options.tuning_lr);
  if (options.pgd_draws.has_value()) message.set_pgd_draws(*options.pgd_draws);
  if (options.momentum.has_value()) message.set_momentum(*options.momentum);
  if (options.timestep_min.has_value()) message.set_timestep_min(*options.timestep_min);
  if (options.timestep_max.has_value()) message.set_timestep_max(*options.timestep_max);
  if (options.jpeg_quality.has_value()) message.set_jpeg_quality(*options.jpeg_quality);
  message.set_semantic_form(static_cast<int>(options.semantic.form));
  message.set_semantic_layers(static_cast<int>(options.semantic.layers));
  message.set_semantic_heads(static_cast<int>(options.semantic.heads));
  message.set_semantic_weight(options.semantic.weight);
  return message;
}

ProtectionOptions FromWire(const worker::v1::Options& options) {
  ProtectionOptions read;
  read.method = static_cast<Method>(options.method());
  read.mode = static_cast<Mode>(options.mode());
  read.effort = static_cast<Effort>(options.effort());
  read.budget_levels = options.budget_levels();
  if (options.has_seed()) read.seed = options.seed();
  read.prompt = options.prompt();
  read.report = static_cast<ReportLevel>(options.report());
  if (options.has_epochs()) read.epochs = options.epochs();
  if (options.has_prompt_steps()) read.prompt_steps = options.prompt_steps();
  if (options.has_pgd_steps()) read.pgd_steps = options.pgd_steps();
  if (options.has_tuning_steps()) read.tuning_steps = options.tuning_steps();
  if (options.has_step_size_levels()) read.step_size_levels = options.step_size_levels();
  if (options.has_prompt_lr()) read.prompt_lr = options.prompt_lr();
  if (options.has_tuning_lr()) read.tuning_lr = options.tuning_lr();
  if (options.has_pgd_draws()) read.pgd_draws = options.pgd_draws();
  if (options.has_momentum()) read.momentum = options.momentum();
  if (options.has_timestep_min()) read.timestep_min = options.timestep_min();
  if (options.has_timestep_max()) read.timestep_max = options.timestep_max();
  if (options.has_jpeg_quality()) read.jpeg_quality = options.jpeg_quality();
  read.semantic = {.form = static_cast<SemanticForm>(options.semantic_form()),
                   .layers = static_cast<SemanticLayers>(options.semantic_layers()),
                   .heads = static_cast<SemanticHeads>(options.semantic_heads()),
                   .weight = options.semantic_weight()};
  return read;
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
  message.set_seed(result.seed);
  message.set_unet_passes(result.unet_passes);
  for (const auto& [stage, seconds] : result.stage_seconds) {
    (*message.mutable_stage_seconds())[stage] = seconds;
  }
  if (result.full.has_value()) {
    worker::v1::FullReport& full = *message.mutable_full();
    ToWire(result.full->before, *full.mutable_before());
    ToWire(result.full->after, *full.mutable_after());
    ToWire(result.full->after_jpeg_q75, *full.mutable_after_jpeg_q75());
    ToWire(result.full->after_half_and_back, *full.mutable_after_half_and_back());
    ToWire(result.full->after_blur, *full.mutable_after_blur());
  }
  return message;
}

ProtectionResult FromWire(const worker::v1::Result& result) {
  ProtectionResult read;
  read.image = EmptyImage(result.shape());
  read.max_difference = result.max_difference();
  read.bound = result.bound();
  read.seed = result.seed();
  read.unet_passes = result.unet_passes();
  read.stage_seconds.insert(result.stage_seconds().begin(), result.stage_seconds().end());
  if (result.has_full()) {
    const worker::v1::FullReport& full = result.full();
    read.full =
        FullReport{FromWire(full.before()), FromWire(full.after()), FromWire(full.after_jpeg_q75()),
                   FromWire(full.after_half_and_back()), FromWire(full.after_blur())};
  }
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
