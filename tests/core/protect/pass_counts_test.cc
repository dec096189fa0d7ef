// What a job computes, exactly (docs/algorithm.md): nothing twice, nothing for nothing.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "core/protect/protection_loop.h"
#include "core/surrogate/unet_snapshot.h"
#include "core/tensor/device.h"
#include "tests/core/protect/golden_model.h"

namespace antidiffusion {
namespace {

struct Counted {
  PassCounts passes;
  Trace trace;
  int64_t weight_gradients = 0;  // how often a weight of the UNet received a gradient
};

Counted RunOptions(const ProtectionOptions& options) {
  ConfigureTorch(1);
  const LoadedModel loaded = LoadGoldenModel("sd2-base-like");
  StableDiffusion& model = *loaded.model;
  UNetSnapshot pristine(model.unet());
  Counted counted;
  at::Tensor weight = model.unet()->named_parameters()["conv_in.weight"];
  weight.set_requires_grad(true);
  weight.register_hook([&counted](const at::Tensor&) { ++counted.weight_gradients; });
  weight.set_requires_grad(false);

  const ProtectionPlan plan = MakePlan(options, /*grey=*/false);
  Random random(1);
  ProgressMeter progress({}, CountSteps(plan.schedule, options.mode), 0);
  StageContext context(random, progress, &counted.trace);
  const at::Tensor image = at::linspace(-1, 1, int64_t{3} * 32 * 32).view({1, 3, 32, 32});
  EXPECT_TRUE(RunProtection(model, pristine, image, plan, context).ok());
  counted.passes = model.counts();
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
  EXPECT_EQ(counted.passes.unet_forwards, 310);
  EXPECT_EQ(counted.trace.unet_backwards, 310);
  EXPECT_EQ(counted.passes.vae_encodes_on_graph, 60);
  // One for the first prompt tuning, one for the first surrogate tuning, then one for each pair.
  EXPECT_EQ(counted.passes.vae_encodes - counted.passes.vae_encodes_on_graph, 6);
  EXPECT_EQ(counted.passes.text_encodes, 1);
  // In surrogate tuning alone: 5 epochs of 20 steps.
  EXPECT_EQ(counted.trace.weight_gradient_backwards, 100);
  EXPECT_EQ(counted.weight_gradients, 100);
}

TEST(PassCountsTest, ReleasedGathersStaleGradientsOnlyWhereTheyAreUsed) {
  const Counted counted = RunPublished(Method::kAntiDiffusion, Mode::kReleased);
  EXPECT_EQ(counted.passes.unet_forwards, 340);
  EXPECT_EQ(counted.trace.unet_backwards, 340);
  EXPECT_EQ(counted.passes.vae_encodes_on_graph, 60);
  EXPECT_EQ(counted.passes.vae_encodes - counted.passes.vae_encodes_on_graph, 7);
  // Tuning, the last step of five PGD phases, four prompt tuning blocks of 30 steps.
  EXPECT_EQ(counted.trace.weight_gradient_backwards, 100 + 5 + 4 * 30);
  EXPECT_EQ(counted.weight_gradients, 100 + 5 + 4 * 30);
}

TEST(PassCountsTest, MethodsPayOnlyForTheirStages) {
  const Counted advdm = RunPublished(Method::kAdvDm, Mode::kPaper);
  EXPECT_EQ(advdm.passes.unet_forwards, 60);
  EXPECT_EQ(advdm.trace.unet_backwards, 60);
  EXPECT_EQ(advdm.passes.vae_encodes, 60);
  EXPECT_EQ(advdm.weight_gradients, 0);

  const Counted photo_guard = RunPublished(Method::kPhotoGuard, Mode::kPaper);
  EXPECT_EQ(photo_guard.passes.unet_forwards, 0);
  EXPECT_EQ(photo_guard.passes.vae_encodes_on_graph, 60);
  EXPECT_EQ(photo_guard.passes.vae_encodes, 61);  // the target
  EXPECT_TRUE(photo_guard.trace.draws.empty());

  const Counted mist = RunPublished(Method::kMist, Mode::kPaper);
  EXPECT_EQ(mist.passes.unet_forwards, 60);
  EXPECT_EQ(mist.passes.vae_encodes_on_graph, 60);
  EXPECT_EQ(mist.passes.vae_encodes, 61);  // the target

  const Counted sds = RunPublished(Method::kSds, Mode::kPaper);
  EXPECT_EQ(sds.passes.unet_forwards, 60);
  EXPECT_EQ(sds.trace.unet_backwards, 0);

  const Counted aspl = RunPublished(Method::kAntiDreamBooth, Mode::kPaper);
  EXPECT_EQ(aspl.passes.unet_forwards, 160);
  EXPECT_EQ(aspl.weight_gradients, 100);

  const Counted noise = RunPublished(Method::kNoise, Mode::kPaper);
  EXPECT_EQ(noise.passes.unet_forwards + noise.passes.vae_encodes, 0);
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
  EXPECT_EQ(counted.passes.unet_forwards, 12);
  EXPECT_EQ(counted.trace.unet_backwards, 12);
  EXPECT_EQ(counted.passes.vae_encodes_on_graph, 12);
  EXPECT_EQ(counted.trace.curves.at("pgd_loss").front().size(), 4);
  std::vector<int64_t> offsets;  // of the timesteps drawn, from timestep_min
  for (const at::Tensor& draw : counted.trace.draws) {
    if (draw.scalar_type() == at::kLong) offsets.push_back(draw.item<int64_t>());
  }
  ASSERT_EQ(offsets.size(), 12);
  for (const int64_t offset : offsets) {
    EXPECT_GE(offset, 0);
    EXPECT_LT(offset, 20);
  }
}

TEST(PassCountsTest, WeightsOfTheVaeNeverNeedGradients) {
  const LoadedModel loaded = LoadGoldenModel("sd2-base-like");
  EXPECT_FALSE(loaded.model->EncodeImage(at::zeros({1, 3, 32, 32})).mean.requires_grad());
}

}  // namespace
}  // namespace antidiffusion
