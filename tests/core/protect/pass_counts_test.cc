// What a job computes, exactly (docs/algorithm.md): nothing twice, nothing for nothing.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <vector>

#include "core/protect/protection_loop.h"
#include "core/tensor/device.h"
#include "tests/core/protect/golden_model.h"

namespace antidiffusion {
namespace {

struct Counted {
  explicit Counted(const Surrogate& model) : seen(model) {}

  RunRecorder seen;
  int64_t unet_forwards = 0;
  int64_t text_encodes = 0;
  int64_t encodes = 0;           // of the VAE
  int64_t encodes_on_graph = 0;  // of those, with a gradient to the image
  int64_t weight_gradients = 0;  // how often a weight of the UNet received a gradient
};

Counted RunOptions(const ProtectionOptions& options) {
  ConfigureTorch(1);
  const Surrogate model = LoadGoldenModel("sd2-base-like");
  Counted counted(model);
  at::Tensor weight = model.denoiser->weights().tensors().front();
  weight.set_requires_grad(true);
  weight.register_hook([&counted](const at::Tensor&) { ++counted.weight_gradients; });
  weight.set_requires_grad(false);

  const Plan plan = PlanFor(model, options);
  Random random(1);
  ProgressMeter progress({}, CountSteps(plan), 0);
  StageContext context(random, progress, &counted.seen);
  const at::Tensor image = at::linspace(-1, 1, int64_t{3} * 32 * 32).view({1, 3, 32, 32});
  EXPECT_TRUE(RunProtection(model, {}, {image}, plan, context).ok());
  counted.unet_forwards = model.denoiser->forwards();
  counted.text_encodes = model.denoiser->text_encodes();
  counted.encodes = model.encoder->encodes();
  counted.encodes_on_graph = model.encoder->encodes_on_graph();
  return counted;
}

// The published schedule on a small picture.
Counted RunPublished(Method method, Mode mode) {
  ProtectionOptions options;
  options.method = method;
  options.mode = mode;
  options.effort = Effort::kPublished;
  return RunOptions(options);
}

TEST(PassCountsTest, PaperRunsNothingTwice) {
  const Counted counted = RunPublished(Method::kAntiDiffusion, Mode::kPaper);
  EXPECT_EQ(counted.unet_forwards, 310);
  EXPECT_EQ(counted.seen.gradients, 310);
  EXPECT_EQ(counted.encodes_on_graph, 60);
  // One for the first prompt tuning, one for the first surrogate tuning, then one for each pair.
  EXPECT_EQ(counted.encodes - counted.encodes_on_graph, 6);
  EXPECT_EQ(counted.text_encodes, 1);
  // In surrogate tuning alone: 5 epochs of 20 steps.
  EXPECT_EQ(counted.seen.weight_gradients, 100);
  EXPECT_EQ(counted.weight_gradients, 100);
}

TEST(PassCountsTest, ReleasedGathersStaleGradientsOnlyWhereTheyAreUsed) {
  const Counted counted = RunPublished(Method::kAntiDiffusion, Mode::kReleased);
  EXPECT_EQ(counted.unet_forwards, 340);
  EXPECT_EQ(counted.seen.gradients, 340);
  EXPECT_EQ(counted.encodes_on_graph, 60);
  EXPECT_EQ(counted.encodes - counted.encodes_on_graph, 7);
  // Tuning, the last step of five PGD phases, four prompt tuning blocks of 30 steps.
  EXPECT_EQ(counted.seen.weight_gradients, 100 + 5 + 4 * 30);
  EXPECT_EQ(counted.weight_gradients, 100 + 5 + 4 * 30);
}

TEST(PassCountsTest, MethodsPayOnlyForTheirStages) {
  const Counted advdm = RunPublished(Method::kAdvDm, Mode::kPaper);
  EXPECT_EQ(advdm.unet_forwards, 60);
  EXPECT_EQ(advdm.seen.gradients, 60);
  EXPECT_EQ(advdm.encodes, 60);
  EXPECT_EQ(advdm.weight_gradients, 0);

  const Counted photo_guard = RunPublished(Method::kPhotoGuard, Mode::kPaper);
  EXPECT_EQ(photo_guard.unet_forwards, 0);
  EXPECT_EQ(photo_guard.encodes_on_graph, 60);
  EXPECT_EQ(photo_guard.encodes, 61);  // the target
  EXPECT_TRUE(photo_guard.seen.draws.empty());

  const Counted mist = RunPublished(Method::kMist, Mode::kPaper);
  EXPECT_EQ(mist.unet_forwards, 60);
  EXPECT_EQ(mist.encodes_on_graph, 60);
  EXPECT_EQ(mist.encodes, 61);  // the target

  const Counted sds = RunPublished(Method::kSds, Mode::kPaper);
  EXPECT_EQ(sds.unet_forwards, 60);

  const Counted aspl = RunPublished(Method::kAntiDreamBooth, Mode::kPaper);
  EXPECT_EQ(aspl.unet_forwards, 160);
  EXPECT_EQ(aspl.weight_gradients, 100);

  const Counted noise = RunPublished(Method::kNoise, Mode::kPaper);
  EXPECT_EQ(noise.unet_forwards + noise.encodes, 0);
}

TEST(PassCountsTest, EachDrawOfAStepIsAPassAndKeepsToItsTimesteps) {
  ProtectionOptions options;
  options.method = Method::kAdvDm;
  options.effort = Effort::kDraft;
  options.pgd_steps = 4;
  options.pgd_draws = 3;
  options.timestep_min = 100;
  options.timestep_max = 119;
  options.jpeg_quality = 75;
  options.momentum = 0.5;
  const Counted counted = RunOptions(options);
  EXPECT_EQ(counted.unet_forwards, 12);
  EXPECT_EQ(counted.seen.gradients, 12);
  EXPECT_EQ(counted.encodes_on_graph, 12);
  EXPECT_EQ(counted.seen.curves.at("pgd_loss").size(), 4);
  std::vector<int64_t> offsets;  // of the timesteps drawn, from timestep_min
  for (const at::Tensor& draw : counted.seen.draws) {
    if (draw.scalar_type() == at::kLong) offsets.push_back(draw.item<int64_t>());
  }
  ASSERT_EQ(offsets.size(), 12);
  for (const int64_t offset : offsets) {
    EXPECT_GE(offset, 0);
    EXPECT_LT(offset, 20);
  }
}

TEST(PassCountsTest, WeightsOfTheVaeNeverNeedGradients) {
  const Surrogate model = LoadGoldenModel("sd2-base-like");
  EXPECT_FALSE(model.encoder->Mean(at::zeros({1, 3, 32, 32})).requires_grad());
}

}  // namespace
}  // namespace antidiffusion
