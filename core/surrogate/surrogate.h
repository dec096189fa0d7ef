// A loaded model as the stages of a protection see it: they include this header alone.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/surrogate/denoiser.h"
#include "core/surrogate/latent_encoder.h"

namespace antidiffusion {

struct EncodedImage {
  LatentPosterior posterior;
  at::Tensor extra;  // as from Denoiser::ExtraChannels
};

// Thread-compatible.
struct Surrogate {
  std::string family;              // see FamilyOf; or encoder
  std::string digest;              // SHA-256, hex, of the weights
  std::vector<std::string> notes;  // for the log: what was guessed or left unread in loading
  int64_t native_side = 0;         // pixels; 0 where the model states none
  c10::Device device = c10::kCPU;
  c10::ScalarType precision = c10::kFloat;
  std::unique_ptr<LatentEncoder> encoder;
  std::unique_ptr<Denoiser> denoiser;  // null: family encoder. May use `encoder`, so goes first

  // Latent and extra channels of one image [1,3,H,W].
  EncodedImage Encode(const at::Tensor& image) const;
};

enum class LossTarget { kByPredictionType, kNoise };

// mse(Predict(AddNoise(latent, draw)), target), a scalar in float32. The gradient also runs through
// a target that contains the latent. `extra` belongs to the image that `latent` is of.
at::Tensor DenoisingLoss(Denoiser& denoiser, const at::Tensor& latent, const NoiseDraw& draw,
                         const Conditioning& conditioning, const at::Tensor& extra,
                         AttentionCapture* capture = nullptr,
                         LossTarget target = LossTarget::kByPredictionType);

}  // namespace antidiffusion
