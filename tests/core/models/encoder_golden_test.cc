// Autoencoders without a diffusion model against diffusers (tests/golden/families/README.md):
// latents, and the gradients to the image of how far and how large they are.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/testing/golden.h"
#include "tests/testing/golden_families.h"

namespace antidiffusion {
namespace {

// scaling and shift of vae16-like; the golden latents are shifted and scaled, means are not.
constexpr double kScale = 0.3611, kShift = 0.1159;

using Encode = std::function<at::Tensor(const at::Tensor& image)>;
using ExpectGradient = std::function<void(const std::string& key, const at::Tensor& gradient)>;

void ExpectLatentsAndLosses(const GoldenValues& golden, const std::string& c, const Encode& encode,
                            const ExpectGradient& expect_gradient, Parity& parity) {
  at::Tensor original;
  {
    const at::NoGradGuard no_grad;
    original = encode(golden[c + "image"]);
  }
  parity.Expect("latent", golden, c + "latent", original);
  for (const std::string term : {"away", "norm"}) {
    const at::Tensor image = (golden[c + "image"] + golden[c + "noise"]).requires_grad_(true);
    const at::Tensor moved = encode(image);
    parity.Expect("latent", golden, c + "latent_moved", moved);
    const at::Tensor size = original.square().sum();
    const at::Tensor loss =
        term == "away" ? (moved - original).square().sum() / size : -moved.square().sum() / size;
    parity.Expect("loss " + term, golden, absl::StrCat(c, "loss/", term), loss.view({1}));
    loss.backward();
    expect_gradient(c + term + "_grad", image.grad());
  }
}

TEST(EncoderGoldenTest, VaeOfSixteenChannelsWithoutQuantConvs) {
  const std::string name = "families/vae16-like";
  const GoldenValues golden(name, "encoder");
  Parity parity(name);
  Vae vae = LoadFamilyVae("vae16-like");
  for (const std::string c : {"ns/", "b2/"}) {
    const Posterior posterior = vae->encode(golden[c + "image"]);
    parity.Expect("vae mean", golden, c + "mean", posterior.mean);
    parity.Expect("vae log variance", golden, c + "logvar", posterior.logvar);
    ExpectLatentsAndLosses(
        golden, c,
        [&vae](const at::Tensor& image) { return (vae->encode(image).mean - kShift) * kScale; },
        [&](const std::string& key, const at::Tensor& gradient) {
          parity.Expect("image gradient", golden, key, gradient);
        },
        parity);
  }
}

// A ReLU within rounding of zero may open in one float ordering and not in another: gradients are
// judged as a whole, relative L2 1e-4 and 99.9 % of the signs.
TEST(EncoderGoldenTest, TinyEncoder) {
  const std::string name = "families/tae-like";
  const GoldenValues golden(name, "encoder");
  Parity parity(name);
  TinyEncoder encoder = LoadFamilyTinyEncoder("tae-like");
  const auto expect_gradient = [&](const std::string& key, const at::Tensor& gradient) {
    const at::Tensor expected = golden[key];
    ASSERT_EQ(gradient.sizes(), expected.sizes());
    parity.ExpectDeviation("image gradient (relative L2)", key,
                           ((gradient - expected).norm() / expected.norm()).item<double>(), 1e-4);
    parity.ExpectDeviation(
        "image gradient (other signs)", key,
        gradient.sign().ne(expected.sign()).to(at::kDouble).mean().item<double>(), 1e-3);
  };
  for (const std::string c : {"ns/", "b2/"}) {
    ExpectLatentsAndLosses(
        golden, c, [&encoder](const at::Tensor& image) { return encoder->encode(image); },
        expect_gradient, parity);
  }
}

}  // namespace
}  // namespace antidiffusion
