#include "core/surrogate/image_channels.h"

#include <ATen/ATen.h>

namespace antidiffusion {
namespace {

class InpaintingChannels : public ImageChannels {
 public:
  explicit InpaintingChannels(LatentEncoder& encoder) : encoder_(encoder) {}

  at::Tensor Of(const at::Tensor& image, const LatentPosterior& posterior) override {
    const int64_t height = image.size(2);
    const int64_t width = image.size(3);
    at::Tensor mask = at::zeros({1, 1, height, width}, image.options().requires_grad(false));
    mask.slice(2, height / 4, 3 * height / 4).slice(3, width / 4, 3 * width / 4).fill_(1);
    const at::Tensor small = at::upsample_nearest2d(
        mask, at::IntArrayRef{posterior.mean.size(2), posterior.mean.size(3)});
    return at::cat({small, encoder_.Mean(image * (1 - mask))}, 1);
  }

  bool are_the_image() const override { return false; }

 private:
  LatentEncoder& encoder_;
};

class EditingChannels : public ImageChannels {
 public:
  at::Tensor Of(const at::Tensor& /*image*/, const LatentPosterior& posterior) override {
    return posterior.unscaled_mean;
  }

  bool are_the_image() const override { return true; }
};

}  // namespace

std::unique_ptr<ImageChannels> MakeInpaintingChannels(LatentEncoder& encoder) {
  return std::make_unique<InpaintingChannels>(encoder);
}

std::unique_ptr<ImageChannels> MakeEditingChannels() { return std::make_unique<EditingChannels>(); }

}  // namespace antidiffusion
