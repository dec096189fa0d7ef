#include "core/surrogate/prompt_encoder.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <utility>
#include <vector>

#include "core/surrogate/autocast.h"

namespace antidiffusion {
namespace {

// Brings a network to where it computes, and back to the host's memory when it ends.
class OnDevice {
 public:
  OnDevice(torch::nn::Module& network, c10::Device device) : network_(network), device_(device) {
    if (!device_.is_cpu()) network_.to(device_);
  }
  ~OnDevice() {
    if (!device_.is_cpu()) network_.to(c10::Device(c10::kCPU));
  }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

 private:
  torch::nn::Module& network_;
  c10::Device device_;
};

void Freeze(torch::nn::Module& network) {
  for (at::Tensor& weight : network.parameters()) weight.set_requires_grad(false);
}

at::Tensor Ids(const ClipTokenizer& tokenizer, const std::string& prompt, c10::Device device) {
  return at::tensor(tokenizer.Encode(prompt), at::kLong).unsqueeze(0).to(device);
}

class OneTextEncoder : public PromptEncoder {
 public:
  OneTextEncoder(TextEncoderParts text, c10::Device device, c10::ScalarType precision)
      : PromptEncoder(device, precision), text_(std::move(text)) {
    Freeze(*text_.model);
  }

 protected:
  Conditioning Run(const std::string& prompt) override {
    const OnDevice here(*text_.model, device());
    Conditioning conditioning;
    conditioning.context = text_.model(Ids(*text_.tokenizer, prompt, device())).to(at::kFloat);
    return conditioning;
  }

 private:
  TextEncoderParts text_;
};

class TwoTextEncoders : public PromptEncoder {
 public:
  TwoTextEncoders(std::vector<TextEncoderParts> texts, c10::Device device,
                  c10::ScalarType precision)
      : PromptEncoder(device, precision), texts_(std::move(texts)) {
    for (TextEncoderParts& text : texts_) Freeze(*text.model);
  }

 protected:
  Conditioning Run(const std::string& prompt) override {
    Conditioning conditioning;
    std::vector<at::Tensor> contexts;
    for (TextEncoderParts& text : texts_) {
      const OnDevice here(*text.model, device());
      const ClipTextOutput output = text.model->Outputs(Ids(*text.tokenizer, prompt, device()));
      contexts.push_back(output.penultimate.to(at::kFloat));
      if (output.pooled.defined()) conditioning.pooled = output.pooled.to(at::kFloat);
    }
    conditioning.context = at::cat(contexts, -1);
    return conditioning;
  }

 private:
  std::vector<TextEncoderParts> texts_;
};

}  // namespace

Conditioning PromptEncoder::Encode(const std::string& prompt, int64_t height, int64_t width) {
  const bool known = prompt.empty() && empty_.context.defined();
  Conditioning conditioning = empty_;
  if (!known) {
    const at::NoGradGuard no_grad;
    const AutocastScope autocast(device_, precision_);
    conditioning = Run(prompt);
    ++encodes_;
    if (prompt.empty()) empty_ = conditioning;
  }
  if (conditioning.pooled.defined()) {
    conditioning.time_ids =
        at::tensor(std::vector<int64_t>{height, width, 0, 0, height, width}, at::kFloat)
            .unsqueeze(0)
            .to(device_);
  }
  return conditioning;
}

std::unique_ptr<PromptEncoder> MakePromptEncoder(std::vector<TextEncoderParts> texts,
                                                 c10::Device device, c10::ScalarType precision) {
  if (texts.size() == 1) {
    return std::make_unique<OneTextEncoder>(std::move(texts.front()), device, precision);
  }
  return std::make_unique<TwoTextEncoders>(std::move(texts), device, precision);
}

}  // namespace antidiffusion
