// What editors' UNets see of an image beside its noisy latent.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "core/surrogate/latent_encoder.h"

namespace antidiffusion {

class ImageChannels {
 public:
  ImageChannels() = default;
  virtual ~ImageChannels() = default;
  ImageChannels(const ImageChannels&) = delete;
  ImageChannels& operator=(const ImageChannels&) = delete;

  // [1,K,h,w] of image [1,3,H,W], on its graph. `posterior` is that of `image`.
  virtual at::Tensor Of(const at::Tensor& image, const LatentPosterior& posterior) = 0;

  // Whether they are the photograph's own latent, so that zeros mean "no photograph".
  virtual bool are_the_image() const = 0;
};

// Inpainting: the mask at latent size (nearest), and the latent (posterior mean, scaled) of the
// image with a grey hole where the mask is 1. To be repainted is the centred rectangle of half the
// height and half the width, [H/4, 3H/4) x [W/4, 3W/4), as an attacker without a mask of the
// subject would choose. `encoder` must outlive it.
std::unique_ptr<ImageChannels> MakeInpaintingChannels(LatentEncoder& encoder);

// InstructPix2Pix: the mode of the image's posterior, not scaled.
std::unique_ptr<ImageChannels> MakeEditingChannels();

}  // namespace antidiffusion
