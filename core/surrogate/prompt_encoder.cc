#include "core/surrogate/prompt_encoder.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "core/base/status_macros.h"
#include "core/surrogate/autocast.h"

namespace antidiffusion {
namespace {

// 20 MB of SDXL's.
constexpr size_t kMostKnown = 32;

}  // namespace

PromptEncoder::PromptEncoder(std::vector<TextEncoderParts> texts, c10::Device device,
                             c10::ScalarType precision)
    : texts_(std::move(texts)), device_(device), precision_(precision) {}

absl::StatusOr<Conditioning> PromptEncoder::Encode(const std::string& prompt, int64_t height,
                                                   int64_t width) {
  AD_ASSIGN_OR_RETURN(Conditioning conditioning, Remembered(prompt));
  if (conditioning.pooled.defined()) {
    conditioning.time_ids =
        at::tensor(std::vector<int64_t>{height, width, 0, 0, height, width}, at::kFloat)
            .unsqueeze(0)
            .to(device_);
  }
  return conditioning;
}

int64_t PromptEncoder::network_bytes() const {
  int64_t most = 0;
  for (const TextEncoderParts& text : texts_) most = std::max(most, text.bytes);
  return most;
}

absl::StatusOr<Conditioning> PromptEncoder::Remembered(const std::string& prompt) {
  const auto known = std::find_if(known_.begin(), known_.end(),
                                  [&prompt](const auto& one) { return one.first == prompt; });
  if (known != known_.end()) {
    std::rotate(known, known + 1, known_.end());
    return known_.back().second;
  }
  AD_ASSIGN_OR_RETURN(const Conditioning conditioning, EncodeText(prompt));
  if (known_.size() == kMostKnown) known_.pop_front();
  known_.emplace_back(prompt, conditioning);
  return conditioning;
}

absl::StatusOr<Conditioning> PromptEncoder::EncodeText(const std::string& prompt) {
  const at::NoGradGuard no_grad;
  const AutocastScope autocast(device_, precision_);
  Conditioning conditioning;
  std::vector<at::Tensor> contexts;
  for (const TextEncoderParts& text : texts_) {
    const at::Tensor ids =
        at::tensor(text.tokenizer->Encode(prompt), at::kLong).unsqueeze(0).to(device_);
    AD_ASSIGN_OR_RETURN(ClipTextModel network, text.read());
    if (texts_.size() == 1) {
      contexts.push_back(network(ids).to(at::kFloat));
      continue;
    }
    const ClipTextOutput output = network->Outputs(ids);
    contexts.push_back(output.penultimate.to(at::kFloat));
    if (output.pooled.defined()) conditioning.pooled = output.pooled.to(at::kFloat);
  }
  conditioning.context = contexts.size() == 1 ? contexts.front() : at::cat(contexts, -1);
  ++encodes_;
  return conditioning;
}

}  // namespace antidiffusion
