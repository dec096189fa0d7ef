// The text side of a family: a prompt to what its UNet is conditioned on.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/models/clip_text_model.h"
#include "core/surrogate/denoiser.h"
#include "core/text/clip_tokenizer.h"

namespace antidiffusion {

// Thread-compatible. On a GPU the networks are there only while they encode: in between they wait
// in the host's memory. The empty prompt is encoded once.
class PromptEncoder {
 public:
  PromptEncoder(c10::Device device, c10::ScalarType precision)
      : device_(device), precision_(precision) {}
  virtual ~PromptEncoder() = default;
  PromptEncoder(const PromptEncoder&) = delete;
  PromptEncoder& operator=(const PromptEncoder&) = delete;

  Conditioning Encode(const std::string& prompt, int64_t height, int64_t width);

  int64_t encodes() const { return encodes_; }

 protected:
  // Context, and `pooled` where the family has it; float32. Without gradients, under autocast.
  virtual Conditioning Run(const std::string& prompt) = 0;

  c10::Device device() const { return device_; }

 private:
  c10::Device device_;
  c10::ScalarType precision_;
  Conditioning empty_;
  int64_t encodes_ = 0;
};

// One of the text encoders of a model, its weights filled in.
struct TextEncoderParts {
  ClipTextModel model{nullptr};
  std::unique_ptr<ClipTokenizer> tokenizer;
};

// One text encoder: the context is its last hidden state after the final layer norm (SD 1.x, 2.x).
// Two: the context is what the last layer of each was given, side by side, and `pooled` the
// projected end of the text of the second (SDXL).
std::unique_ptr<PromptEncoder> MakePromptEncoder(std::vector<TextEncoderParts> texts,
                                                 c10::Device device, c10::ScalarType precision);

}  // namespace antidiffusion
