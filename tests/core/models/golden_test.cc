// The networks against what diffusers and transformers compute (tests/golden/README.md).
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/models/attention_capture.h"
#include "core/models/clip_text_model.h"
#include "core/models/resnet.h"
#include "core/models/unet.h"
#include "core/models/vae.h"
#include "tests/testing/golden.h"

namespace antidiffusion {
namespace {

class GoldenTest : public testing::TestWithParam<std::string> {
 protected:
  Parity parity_{GetParam()};
};

TEST_P(GoldenTest, TextEncoderGivesTheReferenceHiddenState) {
  const GoldenValues golden(GetParam(), "text");
  ClipTextModel model = LoadGoldenTextModel(GetParam());
  parity_.Expect("text hidden state", golden, "last_hidden_state", model(golden["ids"]));
}

TEST_P(GoldenTest, VaeEncodesAndBackPropagatesToTheImage) {
  const GoldenValues golden(GetParam(), "vae");
  Vae vae = LoadGoldenVae(GetParam());
  for (const std::string c : {"sq/", "ns/", "b2/"}) {
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

TEST_P(GoldenTest, TimeEmbeddingOfTheUNet) {
  const GoldenValues golden(GetParam(), "unet");
  const int64_t channels = GoldenUNetConfig(GetParam()).block_out_channels[0];
  const at::Tensor sinusoid = TimestepSinusoid(golden["time/t"], channels, true, 0);
  // Exact in double and single alike, so no floor was measured: a few float32 roundings of 999.
  parity_.ExpectDeviation("unet time sinusoid", "time/sinusoid",
                          (sinusoid - golden["time/sinusoid"]).abs().max().item<double>(), 2e-5);
  TimestepEmbedding embedding(channels, 4 * channels, at::TensorOptions());
  UNet unet = LoadGoldenUNet(GetParam());
  const auto weights = unet->named_parameters();
  {
    const at::NoGradGuard no_grad;
    for (auto& item : embedding->named_parameters()) {
      item.value().copy_(weights["time_embedding." + item.key()]);
    }
  }
  parity_.Expect("unet time embedding", golden, "time/embedding", embedding(sinusoid));
}

TEST_P(GoldenTest, UNetPredictsAtEveryTimestep) {
  const GoldenValues golden(GetParam(), "unet");
  UNet unet = LoadGoldenUNet(GetParam());
  const at::NoGradGuard no_grad;
  for (const int64_t t : {1, 250, 999}) {
    parity_.Expect("unet output", golden, "a/forward_t" + std::to_string(t),
                   unet(golden["a/latent"], at::tensor({t}), golden["a/context"]));
  }
  for (const std::string c : {"a/", "b/", "ns/"}) {
    parity_.Expect("unet output", golden, c + "pred",
                   unet(golden[c + "noised"], golden[c + "t"], golden[c + "context"]));
  }
}

// The golden maps are those of every layer of that grid in call order. The mid block of a model of
// three levels lies on that grid too, after the down block's layers_per_block maps; the capture
// leaves it out.
TEST_P(GoldenTest, CaptureHoldsTheCrossAttentionOfDownAndUpBlocks) {
  const GoldenValues golden(GetParam(), "unet");
  const UNetConfig config = GoldenUNetConfig(GetParam());
  const bool mid_is_on_the_grid = config.block_out_channels.size() == 3;
  const int64_t down = config.layers_per_block[2];
  UNet unet = LoadGoldenUNet(GetParam());
  const at::NoGradGuard no_grad;
  for (const std::string c : {"a/", "b/", "ns/"}) {
    AttentionCapture capture;
    const at::Tensor predicted =
        unet(golden[c + "noised"], golden[c + "t"], golden[c + "context"], &capture);
    parity_.Expect("unet output with capture", golden, c + "pred", predicted);
    const auto& maps = capture.probabilities;
    ASSERT_EQ(static_cast<int64_t>(maps.size()), 2 * down + 1);
    for (size_t i = 0; i < maps.size(); ++i) {
      const bool after_mid = static_cast<int64_t>(i) >= down;
      const size_t row = i + (mid_is_on_the_grid && after_mid ? 1 : 0);
      parity_.Expect("unet attention map", golden, c + "map/" + std::to_string(row), maps[i]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenTest, testing::ValuesIn(GoldenModelNames()),
                         [](const auto& test) { return GoldenTestName(test.param); });

}  // namespace
}  // namespace antidiffusion
