// The families whose UNet or encoder differs from Stable Diffusion's, against what diffusers
// computes (tests/golden/families/README.md): one chain from image to losses and back, and PGD
// alone under each of the other objectives.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/protect/objective.h"
#include "core/protect/protection_loop.h"
#include "core/protect/semantic_loss.h"
#include "core/tensor/device.h"
#include "core/tensor/image_tensor.h"
#include "tests/core/protect/golden_model.h"
#include "tests/testing/golden.h"

namespace antidiffusion {
namespace {

nlohmann::json ReadJson(const std::string& path) {
  std::ifstream file(GoldenPath(path));
  return nlohmann::json::parse(file);
}

double RelativeL2(const at::Tensor& ours, const at::Tensor& golden) {
  const at::Tensor exact = golden.to(at::kDouble);
  return ((ours.to(at::kDouble) - exact).norm() / exact.norm()).item<double>();
}

double FlippedSigns(const at::Tensor& ours, const at::Tensor& golden) {
  return ours.sign().ne(golden.sign()).to(at::kDouble).mean().item<double>();
}

// One file of a model, held to 20 times the distance of float32 from float64.
class FamilyGoldenTest : public testing::TestWithParam<std::string> {
 protected:
  FamilyGoldenTest() { ConfigureTorch(1); }

  void Open(const std::string& file) {
    golden_ = std::make_unique<GoldenValues>(GoldenValuesFolder(GetParam()), file);
  }

  void Expect(const std::string& kind, const std::string& key, const at::Tensor& ours) {
    parity_.Expect(kind, *golden_, key, ours.reshape((*golden_)[key].sizes()));
  }

  at::Tensor Golden(const std::string& key) const { return (*golden_)[key]; }

  std::unique_ptr<GoldenValues> golden_;
  Parity parity_{GetParam()};
  Surrogate model_ = LoadGoldenModel(GetParam());
};

using FamilyChainTest = FamilyGoldenTest;

TEST_P(FamilyChainTest, FromTheImageToLossesAndBack) {
  Open("chain");
  Denoiser& denoiser = *model_.denoiser;
  at::Tensor image = Golden("chain/image").requires_grad_(true);
  const Conditioning prompt = denoiser.Condition("", image.size(2), image.size(3)).value();
  Expect("chain context", "chain/context", prompt.context);
  const EncodedImage encoded = model_.Encode(image);
  const at::Tensor latent = encoded.posterior.Sample(Golden("chain/posterior"));
  Expect("chain latent", "chain/latent", latent);
  if (prompt.pooled.defined()) {
    Expect("chain pooled text", "chain/pooled", prompt.pooled);
    EXPECT_TRUE(at::equal(prompt.time_ids, Golden("chain/time_ids")));
  }
  if (absl::EndsWith(model_.family, "inpaint")) {
    EXPECT_TRUE(at::equal(encoded.extra.slice(1, 0, 1), Golden("chain/mask")));
    Expect("chain masked latent", "chain/masked_latent", encoded.extra.slice(1, 1));
  }
  if (denoiser.guides_by_image()) {
    Expect("chain image latent", "chain/image_latent", encoded.extra);
  }
  const NoiseDraw draw = {Golden("chain/noise"), Golden("chain/t")};
  const at::Tensor noisy = denoiser.AddNoise(latent, draw);
  AttentionCapture capture;
  const at::Tensor predicted =
      denoiser.Predict(noisy, draw.timestep, prompt, encoded.extra, &capture);
  Expect("chain prediction", "chain/pred", predicted);
  const auto expect_loss = [&](const std::string& name, const at::Tensor& loss) {
    Expect("chain losses", "chain/loss/" + name, loss);
    loss.backward({}, /*retain_graph=*/true);
    Expect("chain image gradients", "chain/" + name + "_grad", image.grad());
    image.mutable_grad() = at::Tensor();
  };
  expect_loss("adv", at::mse_loss(predicted, denoiser.Target(latent, draw)));
  expect_loss("sdl", SemanticLoss(capture, {}));
  if (!denoiser.guides_by_image()) return;
  const at::Tensor blind =
      denoiser.Predict(noisy, draw.timestep, prompt, at::zeros_like(encoded.extra));
  expect_loss("guidance", -at::mse_loss(predicted, blind));
}

INSTANTIATE_TEST_SUITE_P(Families, FamilyChainTest, testing::ValuesIn(GoldenFamilyNames()),
                         [](const auto& of) { return GoldenTestName(of.param); });

// Their parts are those of the families above.
INSTANTIATE_TEST_SUITE_P(EditorsOfXl, FamilyChainTest,
                         testing::Values("sdxl-inpaint-like", "sdxl-pix2pix-like"),
                         [](const auto& of) { return GoldenTestName(of.param); });

using FamilyEncoderTest = FamilyGoldenTest;

TEST_P(FamilyEncoderTest, LatentsAndTheTermsThatCompareThem) {
  Open("encoder");
  for (const std::string c : {"ns/", "b2/"}) {
    const at::Tensor original = Golden(c + "image");
    Expect("encoder latents", c + "latent", model_.encoder->Mean(original));
    for (const Objective objective : {Objective::kAway, Objective::kNorm}) {
      const std::string name = objective == Objective::kAway ? "away" : "norm";
      at::Tensor moved = (original + Golden(c + "noise")).requires_grad_(true);
      ProtectionOptions options;
      options.objectives = {{objective}};
      const Plan plan = PlanFor(model_, options);
      Random random(1);
      ProgressMeter progress({}, {}, 0);
      StageContext context(random, progress);
      const LossTerms terms = ImageObjective::Create(model_, {}, plan, original, context)
                                  .value()
                                  .Evaluate(moved, {}, context);
      Expect("encoder losses", absl::StrCat(c, "loss/", name), terms.total);
      terms.total.backward();
      const std::string key = c + name + "_grad";
      // A unit of AutoencoderTiny within rounding of zero may open here and not there.
      if (GetParam() == "tae-like") {
        parity_.ExpectDeviation("encoder gradients, relative L2", key,
                                RelativeL2(moved.grad(), Golden(key)), 1e-4);
        parity_.ExpectDeviation("encoder gradients, share of signs", key,
                                FlippedSigns(moved.grad(), Golden(key)), 1e-3);
      } else {
        Expect("encoder gradients", key, moved.grad());
      }
    }
    Expect("encoder latents", c + "latent_moved",
           model_.encoder->Mean(original + Golden(c + "noise")));
  }
}

INSTANTIATE_TEST_SUITE_P(Families, FamilyEncoderTest, testing::Values("vae16-like", "tae-like"),
                         [](const auto& of) { return GoldenTestName(of.param); });

// PGD alone: no prompt tuning, no surrogate tuning.
struct AscentCase {
  std::string values;  // whose golden values
  std::string run;
  std::string first;  // model
  std::vector<std::string> also;
};

ProtectionOptions RecordedOptions(const nlohmann::json& recorded, const AscentCase& of) {
  const nlohmann::json& schedule = recorded.at("schedule");
  const nlohmann::json& objective = recorded.at("objective");
  ProtectionOptions options;
  options.visibility = 0;
  options.method = Method::kAdvDm;
  options.effort = Effort::kPublished;
  options.epochs = 0;
  options.pgd_steps = schedule.at("steps").get<int>();
  options.budget_levels = schedule.at("eps").get<double>() * 127.5;
  options.step_size_levels = schedule.at("alpha").get<double>() * 127.5;
  options.random_start = schedule.at("random_start").get<bool>();
  options.also = of.also;
  const std::pair<const char*, Objective> terms[] = {{"denoising", Objective::kDenoising},
                                                     {"sdl", Objective::kSemantic},
                                                     {"guidance", Objective::kImageGuidance},
                                                     {"away", Objective::kAway},
                                                     {"norm", Objective::kNorm}};
  for (const auto& [name, term] : terms) {
    const double weight = objective.at(name).get<double>();
    if (weight > 0) options.objectives.push_back({term, weight});
  }
  return options;
}

class AscentTest : public testing::TestWithParam<AscentCase> {};

TEST_P(AscentTest, FollowsTheReference) {
  ConfigureTorch(1);
  const AscentCase& of = GetParam();
  const GoldenValues golden(GoldenValuesFolder(of.values), "trajectory_" + of.run);
  const nlohmann::json recorded =
      ReadJson(GoldenValuesFolder(of.values) + "/trajectory.json").at(of.run);
  const Surrogate model = LoadGoldenModel(of.first);
  std::vector<Surrogate> further;
  for (const std::string& name : of.also) further.push_back(LoadGoldenModel(name));
  std::vector<LatentEncoder*> others;
  others.reserve(further.size());
  for (const Surrogate& each : further) others.push_back(each.encoder.get());
  const Plan plan = PlanFor(model, RecordedOptions(recorded, of));
  ASSERT_EQ(CountSteps(plan).total(), plan.pgd.steps);
  RunRecorder seen(model, of.also.empty() ? std::vector<std::string>{of.first} : of.also);
  Random random(recorded.at("seed").get<uint64_t>());
  ProgressMeter progress({}, CountSteps(plan), 0);
  StageContext context(random, progress, &seen);
  const at::Tensor original = GoldenPicture(of.values);
  const at::Tensor image = RunProtection(model, others, {original}, plan, context).value();

  Parity parity(of.values + " " + of.run);
  size_t draws = 0;
  for (const std::string& key : golden.keys()) {
    if (key.rfind("draw/", 0) == 0) {
      ASSERT_LT(draws, seen.draws.size());
      EXPECT_TRUE(at::equal(seen.draws[draws++], golden[key])) << key;
    } else if (key.rfind("first/", 0) == 0) {
      const at::Tensor& ours = seen.tensors.at(key);
      parity.ExpectDeviation("first gradients, relative L2", key, RelativeL2(ours, golden[key]),
                             1e-4);
      parity.ExpectDeviation("first gradients, share of signs", key,
                             FlippedSigns(ours, golden[key]), 1e-3);
    } else if (key.rfind("curve/", 0) == 0) {
      const at::Tensor exact = golden[key].flatten();
      const at::Tensor ours = at::tensor(seen.curves.at(key.substr(6)), at::kDouble);
      ASSERT_EQ(ours.numel(), exact.numel()) << key;
      const at::Tensor deviation = (ours - exact).abs() / exact.abs().clamp_min(1e-12);
      parity.ExpectDeviation("first losses, relative", key, deviation[0].item<double>(), 1e-5);
      parity.ExpectDeviation("losses, relative", key, deviation.max().item<double>(), 2e-3);
    }
  }
  EXPECT_EQ(draws, seen.draws.size());
  const Image bytes = ApplyDifference(TensorToImage(original), image - original, plan.bound);
  const at::Tensor levels = ((ImageToTensor(bytes) + 1) * 127.5).round();
  const at::Tensor off = (levels - golden["final/uint8_budget"].to(at::kFloat)).abs();
  parity.ExpectDeviation("final image, share of bytes", "final/uint8_budget",
                         off.gt(0).to(at::kDouble).mean().item<double>(), 0.1);
  parity.ExpectDeviation("final image, mean levels", "final/uint8_budget",
                         off.to(at::kDouble).mean().item<double>(), 0.4);
}

INSTANTIATE_TEST_SUITE_P(
    Families, AscentTest,
    testing::Values(AscentCase{"pix2pix-like", "guidance", "pix2pix-like", {}},
                    AscentCase{"sdxl-pix2pix-like", "guidance", "sdxl-pix2pix-like", {}},
                    AscentCase{"vae16-like", "away", "vae16-like", {}},
                    AscentCase{"tae-like", "away", "tae-like", {}},
                    AscentCase{"tae-like", "norm", "tae-like", {}},
                    AscentCase{
                        "ensemble", "ensemble", "sd2-base-like", {"vae16-like", "tae-like"}}),
    [](const auto& of) { return GoldenTestName(of.param.values) + "_" + of.param.run; });

}  // namespace
}  // namespace antidiffusion
