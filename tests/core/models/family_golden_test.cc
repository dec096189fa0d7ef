// The networks of the other families against what diffusers and transformers compute
// (tests/golden/families/README.md).
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/models/attention_capture.h"
#include "core/models/unet_blocks.h"
#include "tests/testing/golden.h"
#include "tests/testing/golden_families.h"

namespace antidiffusion {
namespace {

// sqrt(abar_t) of all these models: betas linear in their square root from 0.00085 to 0.012.
at::Tensor SignalAt(const at::Tensor& t) {
  const at::Tensor betas =
      at::linspace(std::sqrt(0.00085), std::sqrt(0.012), 1000, at::kFloat).square();
  return at::cumprod(1 - betas, 0).index_select(0, t).sqrt().view({-1, 1, 1, 1});
}

bool Has(const GoldenValues& golden, const std::string& key) {
  const std::vector<std::string> keys = golden.keys();
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

// One case of unet.safetensors, its inputs as leaves of the graph.
struct UNetCase {
  UNetCase(const GoldenValues& golden, const std::string& c)
      : noise(golden[c + "noise"]), t(golden[c + "t"]) {
    for (const char* name : {"latent", "context", "masked_latent", "image_latent", "pooled"}) {
      if (!Has(golden, c + name)) continue;
      leaves[name] = golden[c + name].requires_grad_(true);
    }
    const at::Tensor signal = SignalAt(t);
    std::vector<at::Tensor> channels = {signal * leaves["latent"] +
                                        (1 - signal.square()).sqrt() * noise};
    if (Has(golden, c + "mask")) channels.push_back(golden[c + "mask"]);
    for (const char* name : {"masked_latent", "image_latent"}) {
      if (leaves.count(name) != 0) channels.push_back(leaves[name]);
    }
    input = at::cat(channels, 1);
    if (leaves.count("pooled") != 0) added = {leaves["pooled"], golden[c + "time_ids"]};
  }

  at::Tensor Predict(UNet& unet, AttentionCapture* capture = nullptr) {
    return unet(input, t, leaves["context"], capture, added.pooled.defined() ? &added : nullptr);
  }

  at::Tensor noise, t, input;
  std::map<std::string, at::Tensor> leaves;
  AddedConditioning added;
};

class FamilyGoldenTest : public testing::TestWithParam<std::string> {
 protected:
  const std::string values_ = "families/" + GetParam();
  Parity parity_{values_};
};

TEST_P(FamilyGoldenTest, TextEncodersGiveContextAndPooledEmbedding) {
  const GoldenValues golden(values_, "text");
  ClipTextModel first = LoadFamilyTextModel(GetParam(), "text_encoder");
  const at::NoGradGuard no_grad;
  const ClipTextOutput one = first->Outputs(golden["ids"]);
  EXPECT_TRUE(at::equal(first(golden["ids"]), one.last_hidden));
  EXPECT_FALSE(one.pooled.defined());
  if (!Has(golden, "pooled")) {
    parity_.Expect("text hidden state", golden, "context", one.last_hidden);
    return;
  }
  ClipTextModel second = LoadFamilyTextModel(GetParam(), "text_encoder_2");
  const ClipTextOutput two = second->Outputs(golden["ids_2"]);
  parity_.Expect("text penultimate states", golden, "context",
                 at::cat({one.penultimate, two.penultimate}, 2));
  parity_.Expect("text pooled", golden, "pooled", two.pooled);
}

TEST_P(FamilyGoldenTest, VaeEncodesAndBackPropagatesToTheImage) {
  const GoldenValues golden(values_, "vae");
  Vae vae = LoadFamilyVae(GetParam());
  for (const std::string c : {"ns/", "b2/"}) {
    const at::Tensor image = golden[c + "image"].requires_grad_(true);
    const Posterior posterior = vae->encode(image);
    parity_.Expect("vae mean", golden, c + "mean", posterior.mean);
    parity_.Expect("vae log variance", golden, c + "logvar", posterior.logvar);
    const at::Tensor sample =
        posterior.mean + at::exp(0.5 * posterior.logvar) * golden[c + "noise"];
    parity_.Expect("vae sample", golden, c + "sample", sample);
    (sample * golden[c + "R"]).sum().backward();
    parity_.Expect("vae image gradient", golden, c + "image_grad", image.grad());
  }
}

// Which of the golden maps, all of the quarter grid, are the mid block's: those after the down
// block's, where the last level has that side. The capture leaves them out by default.
TEST_P(FamilyGoldenTest, UNetPredictsAndGivesItsMaps) {
  const GoldenValues golden(values_, "unet");
  const UNetConfig config = FamilyUNetConfig(GetParam());
  UNet unet = LoadFamilyUNet(GetParam());
  const bool mid_is_on_the_grid = config.has_mid_block && config.block_out_channels.size() == 3;
  const int64_t layers = config.transformer_layers[2], down = config.layers_per_block[2] * layers;
  const at::NoGradGuard no_grad;
  for (const std::string c : {"a/", "b/"}) {
    UNetCase inputs(golden, c);
    parity_.Expect("unet input", golden, c + "input", inputs.input);
    parity_.Expect("unet output", golden, c + "pred", inputs.Predict(unet));
    AttentionCapture capture;
    parity_.Expect("unet output with capture", golden, c + "pred", inputs.Predict(unet, &capture));
    const auto& maps = capture.probabilities;
    ASSERT_EQ(static_cast<int64_t>(maps.size()), down + down + layers);
    for (int64_t i = 0; i < static_cast<int64_t>(maps.size()); ++i) {
      const int64_t row = i + (mid_is_on_the_grid && i >= down ? layers : 0);
      parity_.Expect("unet attention map", golden, c + "map/" + std::to_string(row), maps[i]);
    }
    if (!mid_is_on_the_grid) continue;
    AttentionCapture mid{.probabilities = {}, .layers = {.levels = 0, .mid = true}};
    inputs.Predict(unet, &mid);
    ASSERT_EQ(static_cast<int64_t>(mid.probabilities.size()), layers);
    for (int64_t i = 0; i < layers; ++i) {
      parity_.Expect("unet mid block's map", golden, c + "map/" + std::to_string(down + i),
                     mid.probabilities[i]);
    }
  }
}

TEST_P(FamilyGoldenTest, UNetWithoutTheImageItEdits) {
  const GoldenValues golden(values_, "unet");
  UNet unet = LoadFamilyUNet(GetParam());
  const at::NoGradGuard no_grad;
  int compared = 0;
  for (const std::string c : {"a/", "b/"}) {
    UNetCase inputs(golden, c);
    if (inputs.leaves.count("image_latent") == 0) continue;
    inputs.input = inputs.input.clone();
    inputs.input.slice(1, 4).zero_();
    parity_.Expect("unet output, blind", golden, c + "pred_blind", inputs.Predict(unet));
    ++compared;
  }
  EXPECT_EQ(compared, GetParam() == "pix2pix-like" ? 2 : 0);
}

// L2 norm, sum and largest magnitude of a weight's gradient: relative 1e-3 on norm and magnitude
// where the norm is above 1e-5, the sum within 1e-3 norm sqrt(numel).
void ExpectGradientStatistics(const std::string& name, const at::Tensor& row,
                              const at::Tensor& parameter, Parity& parity) {
  constexpr double kTolerance = 1e-3;
  constexpr double kSmallestNorm = 1e-5;
  const double norm = row[0].item<double>();
  if (norm <= kSmallestNorm) return;
  const at::Tensor gradient = parameter.grad().to(at::kDouble);
  const double root = std::sqrt(static_cast<double>(gradient.numel()));
  parity.ExpectDeviation("unet weight gradient norms (relative)", name,
                         std::abs(gradient.norm().item<double>() / norm - 1), kTolerance);
  parity.ExpectDeviation(
      "unet weight gradient sums (relative)", name,
      std::abs(gradient.sum().item<double>() - row[1].item<double>()) / (norm * root), kTolerance);
  parity.ExpectDeviation("unet weight gradient maxima (relative)", name,
                         std::abs(gradient.abs().max().item<double>() / row[2].item<double>() - 1),
                         kTolerance);
}

TEST_P(FamilyGoldenTest, LossAndItsGradients) {
  const GoldenValues golden(values_, "unet");
  const std::vector<std::string> names = GoldenParameterNames(values_);
  for (const std::string c : {"a/", "b/"}) {
    UNet unet = LoadFamilyUNet(GetParam());
    for (at::Tensor& parameter : unet->parameters()) parameter.set_requires_grad(true);
    UNetCase inputs(golden, c);
    const at::Tensor loss = at::mse_loss(inputs.Predict(unet), inputs.noise);
    parity_.Expect("unet loss", golden, c + "loss", loss.view({1}));
    loss.backward();
    for (const auto& [name, leaf] : inputs.leaves) {
      parity_.Expect("gradient of " + name, golden, absl::StrCat(c, "grad_", name), leaf.grad());
    }
    const auto parameters = unet->named_parameters();
    ASSERT_EQ(names.size(), parameters.size());
    const at::Tensor stats = golden[c + "grad_stats"];
    for (size_t i = 0; i < names.size(); ++i) {
      ExpectGradientStatistics(names[i], stats[static_cast<int64_t>(i)], parameters[names[i]],
                               parity_);
    }
    if (c != "a/") continue;
    int compared = 0;
    for (const std::string& key : golden.keys()) {
      const std::string prefix = "a/grad/";
      if (key.rfind(prefix, 0) != 0) continue;
      parity_.Expect("unet weight gradients", golden, key,
                     parameters[key.substr(prefix.size())].grad());
      ++compared;
    }
    EXPECT_EQ(compared, inputs.added.pooled.defined() ? 4 : 3);
  }
}

// A module of the UNet by its name.
template <typename Impl>
Impl& At(UNet& unet, const std::string& name) {
  return *unet->named_modules()[name]->as<Impl>();
}

// The same pass, module by module.
TEST_P(FamilyGoldenTest, InnerPlacesOfTheUNet) {
  const GoldenValues golden(values_, "unet");
  const UNetConfig config = FamilyUNetConfig(GetParam());
  UNet unet = LoadFamilyUNet(GetParam());
  const at::NoGradGuard no_grad;
  UNetCase inputs(golden, "a/");
  const at::Tensor& context = inputs.leaves["context"];
  const auto expect = [&](const std::string& place, const at::Tensor& actual) {
    parity_.Expect("unet inside", golden, "a/inner/" + place, actual);
  };
  const auto sinusoid = [](const at::Tensor& t, int64_t width) {
    return TimestepSinusoid(t, width, true, 0);
  };
  at::Tensor time = At<TimestepEmbeddingImpl>(unet, "time_embedding")
                        .forward(sinusoid(inputs.t, config.block_out_channels[0]));
  expect("time_embedding", time);
  if (inputs.added.pooled.defined()) {
    const at::Tensor ids =
        sinusoid(inputs.added.time_ids.flatten(), config.addition_time_embed_dim).view({1, -1});
    const at::Tensor added = At<TimestepEmbeddingImpl>(unet, "add_embedding")
                                 .forward(at::cat({inputs.added.pooled, ids}, 1));
    expect("add_embedding", added);
    time = time + added;
  }
  time = at::silu(time);
  at::Tensor h = At<Conv2dImpl>(unet, "conv_in").forward(inputs.input);
  expect("conv_in", h);
  std::vector<at::Tensor> skips = {h};
  for (size_t level = 0; level < config.down_block_types.size(); ++level) {
    const std::string block = "down_blocks." + std::to_string(level);
    if (level == 2) {
      const at::Tensor seen = At<ResnetBlock2DImpl>(unet, block + ".resnets.0").forward(h, time);
      expect("attn_down2",
             At<Transformer2DImpl>(unet, block + ".attentions.0").forward(seen, context, nullptr));
    }
    h = At<UNetDownBlockImpl>(unet, block).forward(h, time, context, nullptr, skips);
    if (level == 0) expect("down0", h);
  }
  if (config.has_mid_block) {
    h = At<UNetMidBlockImpl>(unet, "mid_block").forward(h, time, context, nullptr);
    expect("mid", h);
  }
  expect("up0", At<UNetUpBlockImpl>(unet, "up_blocks.0").forward(h, time, context, nullptr, skips));
}

INSTANTIATE_TEST_SUITE_P(Families, FamilyGoldenTest, testing::ValuesIn(FamilyPipelineNames()),
                         [](const auto& test) { return GoldenTestName(test.param); });

}  // namespace
}  // namespace antidiffusion
