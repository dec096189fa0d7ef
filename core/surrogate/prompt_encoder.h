// The text side of a model: a prompt to what its UNet is conditioned on.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/models/clip_text_model.h"
#include "core/surrogate/denoiser.h"
#include "core/text/clip_tokenizer.h"

namespace antidiffusion {

// One of the text encoders of a model.
struct TextEncoderParts {
  // The network on the model's device, its weights filled in. Called whenever a prompt is not
  // known.
  std::function<absl::StatusOr<ClipTextModel>()> read;
  int64_t bytes = 0;  // of the network
  std::unique_ptr<ClipTokenizer> tokenizer;
};

// The networks are in memory only while they encode; the latest prompts are remembered.
// Thread-compatible.
class PromptEncoder {
 public:
  // With one text encoder the context is its last hidden state after the final layer norm
  // (SD 1.x, 2.x). With two it is what the last layer of each was given, side by side, and `pooled`
  // the projected end of the text of the second (SDXL).
  PromptEncoder(std::vector<TextEncoderParts> texts, c10::Device device, c10::ScalarType precision);

  // Float32, without a gradient, computed under autocast; for an image of height x width pixels.
  // Errors as those of TextEncoderParts::read.
  absl::StatusOr<Conditioning> Encode(const std::string& prompt, int64_t height, int64_t width);

  int64_t encodes() const { return encodes_; }
  int64_t network_bytes() const;  // of the largest of its networks

 private:
  // Without `time_ids`, which belong to the image.
  absl::StatusOr<Conditioning> EncodeText(const std::string& prompt);
  absl::StatusOr<Conditioning> Remembered(const std::string& prompt);

  std::vector<TextEncoderParts> texts_;
  c10::Device device_;
  c10::ScalarType precision_;
  std::deque<std::pair<std::string, Conditioning>> known_;  // the one used last at the end
  int64_t encodes_ = 0;
};

}  // namespace antidiffusion
