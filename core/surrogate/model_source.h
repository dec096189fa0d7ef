// What a path gives: a model's configurations and where each of its weights lies, proven to fit
// together before anything of the networks' size is allocated.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/checkpoint/safetensors.h"
#include "core/checkpoint/tensor_source.h"
#include "core/models/config.h"
#include "core/surrogate/noise_schedule.h"
#include "core/text/clip_tokenizer.h"

namespace antidiffusion {

struct TextSource {
  ClipTextConfig config;
  TensorSources tensors;  // of a ClipTextModel
  std::unique_ptr<ClipTokenizer> tokenizer;
};

// All of a diffusion model but its VAE.
struct DenoiserSource {
  UNetConfig config;
  TensorSources tensors;         // of a UNet
  std::vector<TextSource> text;  // one; sdxl: two
  NoiseScheduleConfig schedule;  // NoiseSchedule::Create takes it
  // SD 2.x in a single file: nothing in the file tells noise from velocity. `schedule` and
  // `config.sample_size` are then to be settled by SettlePrediction once the UNet is there.
  bool prediction_is_open = false;
  bool native_side_is_said = false;  // `config.sample_size` was said and stays
};

struct ModelSource {
  std::string family;            // see FamilyOf; or encoder
  EncoderConfig encoder_config;  // of `encoder`: a Vae's or a TinyEncoder's
  TensorSources encoder;
  std::optional<DenoiserSource> denoiser;  // none: family encoder

  // SHA-256, hex, of the files' bytes one after the other: text encoders, UNet, VAE. Of the mapped
  // bytes that the tensors are read from, even if other files lie at their paths by now.
  std::string digest;
  // Of the encoder's weights alone, whatever files they came in: equal for models that share it.
  std::string encoder_digest;
  // For the log: what was guessed, and what was found and is not read.
  std::vector<std::string> notes;

  std::deque<std::vector<SafetensorsFile>> files;  // what the tensors lie in; moves with it
};

struct SourceOptions {
  // Folder of tokenizers for checkpoints in one file, which have none of their own: `clip` (SD 1.x,
  // the first of SDXL) and `open_clip` (SD 2.x, the second of SDXL), as in models/tokenizers.
  // Empty: the folder `tokenizers` beside the file.
  std::string tokenizers = {};
};

// `path`: a folder in the diffusers layout (model_index.json), a folder of an autoencoder alone
// (config.json), or a single file NAME.safetensors in the original layout.
// NOT_FOUND (no such path, a file is missing), DATA_LOSS (files that do not add up),
// FAILED_PRECONDITION (another kind of model or file; the message says which). Untrusted input.
absl::StatusOr<ModelSource> ReadModelSource(const std::string& path, const SourceOptions& options);

}  // namespace antidiffusion
