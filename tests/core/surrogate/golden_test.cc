// Losses and gradients against what diffusers computes (tests/golden/README.md).
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/surrogate/surrogate.h"
#include "core/surrogate/unet_denoiser.h"
#include "tests/core/surrogate/golden_surrogate.h"
#include "tests/testing/golden.h"

namespace antidiffusion {
namespace {

class GoldenLossTest : public testing::TestWithParam<std::string> {
 protected:
  Denoiser& denoiser() const { return *model_.denoiser; }
  static Conditioning Given(const at::Tensor& context) {
    Conditioning conditioning;
    conditioning.context = context;
    return conditioning;
  }

  Surrogate model_ = MakeGoldenSurrogate(GetParam());
  Parity parity_{GetParam()};
};

// L2 norm, sum and largest magnitude of every weight's gradient: relative 1e-3 on norm and
// magnitude where the norm is above 1e-5, the sum within 1e-3 norm sqrt(numel).
void ExpectGradientStatistics(const UNet& unet, const std::string& model, const at::Tensor& stats,
                              Parity& parity) {
  constexpr double kTolerance = 1e-3;
  constexpr double kSmallestNorm = 1e-5;
  const std::vector<std::string> names = GoldenParameterNames(model);
  const auto parameters = unet->named_parameters();
  ASSERT_EQ(static_cast<int64_t>(names.size()), stats.size(0));
  ASSERT_EQ(names.size(), parameters.size());
  for (size_t i = 0; i < names.size(); ++i) {
    const at::Tensor row = stats[static_cast<int64_t>(i)];
    const double norm = row[0].item<double>(), sum = row[1].item<double>();
    const double largest = row[2].item<double>();
    if (norm <= kSmallestNorm) continue;
    const at::Tensor gradient = parameters[names[i]].grad().to(at::kDouble);
    const double root = std::sqrt(static_cast<double>(gradient.numel()));
    parity.ExpectDeviation("unet weight gradient norms (relative)", names[i],
                           std::abs(gradient.norm().item<double>() / norm - 1), kTolerance);
    parity.ExpectDeviation("unet weight gradient sums (relative)", names[i],
                           std::abs(gradient.sum().item<double>() - sum) / (norm * root),
                           kTolerance);
    parity.ExpectDeviation("unet weight gradient maxima (relative)", names[i],
                           std::abs(gradient.abs().max().item<double>() / largest - 1), kTolerance);
  }
}

TEST_P(GoldenLossTest, DenoisingLossAndItsGradients) {
  const GoldenValues golden(GetParam(), "unet");
  for (const std::string c : {"a/", "b/", "ns/"}) {
    denoiser().weights().DropGradients();
    const TrainableWeights::WithGradients gradients(denoiser().weights(), true);
    const at::Tensor latent = golden[c + "latent"].requires_grad_(true);
    const at::Tensor context = golden[c + "context"].requires_grad_(true);
    const at::Tensor noise = golden[c + "noise"], t = golden[c + "t"];
    parity_.Expect("schedule noised", golden, c + "noised",
                   denoiser().AddNoise(latent, {noise, t}));
    const at::Tensor loss = DenoisingLoss(denoiser(), latent, {noise, t}, Given(context), {});
    parity_.Expect("unet loss", golden, c + "loss", loss.view({1}));
    loss.backward();
    parity_.Expect("unet latent gradient", golden, c + "grad_latent", latent.grad());
    parity_.Expect("unet context gradient", golden, c + "grad_context", context.grad());
    const UNet& unet = dynamic_cast<UNetDenoiser&>(denoiser()).unet();
    ExpectGradientStatistics(unet, GetParam(), golden[c + "grad_stats"], parity_);
    if (c != "a/") continue;
    int compared = 0;
    for (const std::string& key : golden.keys()) {
      const std::string prefix = "a/grad/";
      if (key.rfind(prefix, 0) != 0) continue;
      const auto parameters = unet->named_parameters();
      parity_.Expect("unet weight gradients", golden, key,
                     parameters[key.substr(prefix.size())].grad());
      ++compared;
    }
    EXPECT_EQ(compared, 6);
  }
}

// Capturing the maps changes nothing: same loss and gradients through the explicit softmax.
TEST_P(GoldenLossTest, GradientsWithCapture) {
  const GoldenValues golden(GetParam(), "unet");
  for (const std::string c : {"a/", "ns/"}) {
    const at::Tensor latent = golden[c + "latent"].requires_grad_(true);
    const at::Tensor context = golden[c + "context"].requires_grad_(true);
    AttentionCapture capture;
    const at::Tensor loss = DenoisingLoss(
        denoiser(), latent, {golden[c + "noise"], golden[c + "t"]}, Given(context), {}, &capture);
    EXPECT_FALSE(capture.probabilities.empty());
    loss.backward();
    parity_.Expect("unet latent gradient with capture", golden, c + "grad_latent", latent.grad());
    parity_.Expect("unet context gradient with capture", golden, c + "grad_context",
                   context.grad());
  }
}

TEST_P(GoldenLossTest, PromptEmbeddings) {
  const GoldenValues golden(GetParam(), "text");
  const at::Tensor embedding = denoiser().Condition("", 64, 64).value().context;
  const at::Tensor expected = golden["last_hidden_state"].slice(0, 0, 1);
  ASSERT_EQ(embedding.sizes(), expected.sizes());
  parity_.ExpectDeviation("prompt embedding", "", (embedding - expected).abs().max().item<double>(),
                          golden.Tolerance("last_hidden_state"));
  const at::Tensor sks = denoiser().Condition("a photo of sks person", 64, 64).value().context;
  parity_.ExpectDeviation(
      "prompt embedding", "a photo of sks person",
      (sks - golden["last_hidden_state"].slice(0, 1, 2)).abs().max().item<double>(),
      golden.Tolerance("last_hidden_state"));
}

// Image -> scaled posterior -> loss, over 16 draws on five images: all parts together.
TEST_P(GoldenLossTest, ProbeLosses) {
  const GoldenValues golden(GetParam(), "probe");
  const GoldenValues paper(GetParam(), "trajectory_paper");
  const GoldenValues released(GetParam(), "trajectory_released");
  const auto bytes = [](const at::Tensor& b) { return b.to(at::kFloat) / 127.5 - 1.0; };
  const std::pair<std::string, at::Tensor> images[] = {
      {"clean", paper["image/original"]},
      {"paper_float", paper["image/3"]},
      {"paper_uint8", bytes(paper["final/uint8"])},
      {"released_float", released["image/3"]},
      {"released_uint8", bytes(released["final/uint8"])},
  };
  const at::NoGradGuard no_grad;
  const at::Tensor t = golden["t"], noise = golden["noise"];
  const at::Tensor context = denoiser().Condition("", 64, 64).value().context;
  for (const auto& [name, image] : images) {
    const at::Tensor latent = model_.encoder->Mean(image);
    std::vector<at::Tensor> losses;
    for (int64_t i = 0; i < t.size(0); ++i) {
      losses.push_back(DenoisingLoss(denoiser(), latent,
                                     {noise.slice(0, i, i + 1), t.slice(0, i, i + 1)},
                                     Given(context), {}));
    }
    parity_.Expect("probe losses", golden, "loss/" + name, at::stack(losses));
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenLossTest, testing::ValuesIn(GoldenModelNames()),
                         [](const auto& test) { return GoldenTestName(test.param); });

}  // namespace
}  // namespace antidiffusion
