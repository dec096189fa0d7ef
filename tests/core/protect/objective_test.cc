#include "core/protect/objective.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <vector>

#include "core/tensor/device.h"
#include "tests/core/protect/golden_model.h"

namespace antidiffusion {
namespace {

class ObjectiveTest : public testing::Test {
 protected:
  ObjectiveTest() {
    ConfigureTorch(1);
    model_ = LoadGoldenModel("sd2-base-like");
    prompt_ = model_.denoiser->Condition("", 32, 32).value();
    prompt_.context = prompt_.context.clone().requires_grad_(true);
    image_.requires_grad_(true);
  }

  // Under the same draws each time.
  LossTerms Evaluate(const ProtectionOptions& options,
                     const std::vector<LatentEncoder*>& others = {}) {
    const Plan plan = PlanFor(model_, options);
    Random random(3);
    ProgressMeter progress({}, {}, 0);
    StageContext context(random, progress);
    return ImageObjective::Create(model_, others, plan, original_, context)
        .value()
        .Evaluate(image_, prompt_, context);
  }

  LossTerms Evaluate(Method method) {
    ProtectionOptions options;
    options.method = method;
    return Evaluate(options);
  }

  LossTerms Evaluate(std::vector<ObjectiveTerm> objectives) {
    ProtectionOptions options;
    options.objectives = std::move(objectives);
    return Evaluate(options);
  }

  Surrogate model_;
  Conditioning prompt_;
  at::Tensor image_ = (at::arange(3 * 32 * 32).view({1, 3, 32, 32}) * 0.37).sin();
  at::Tensor original_ = 0.9 * image_;
};

TEST_F(ObjectiveTest, MistTakesTheDistanceToTheTargetOffTheDenoisingLoss) {
  const double denoising = Evaluate(Method::kAdvDm).total.item<double>();
  const at::Tensor target = model_.encoder->Mean(at::zeros_like(image_));
  const double distance = (model_.encoder->Mean(image_) - target).square().mean().item<double>();
  // 1e4 parts of the denoising loss to one of the sum over 4 * 64 * 64 latent values.
  const double expected = denoising - 1.6384 * distance;
  ASSERT_GT(distance, 1e-3);
  EXPECT_NEAR(Evaluate(Method::kMist).total.item<double>(), expected, 1e-5 * (1 + denoising));
  EXPECT_NEAR(Evaluate(Method::kPhotoGuard).total.item<double>(), -distance, 1e-5);
}

TEST_F(ObjectiveTest, GradientOfScoreDistillationDoesNotRunThroughTheUNet) {
  const LossTerms through = Evaluate(Method::kAdvDm);
  through.total.backward();
  ASSERT_TRUE(prompt_.context.grad().defined());
  EXPECT_GT(prompt_.context.grad().abs().max().item<double>(), 0);
  const at::Tensor gradient_through = image_.grad().clone();
  prompt_.context.mutable_grad() = at::Tensor();
  image_.mutable_grad() = at::Tensor();

  const LossTerms past = Evaluate(Method::kSds);
  past.total.backward();
  EXPECT_FALSE(prompt_.context.grad().defined());
  EXPECT_GT(image_.grad().abs().max().item<double>(), 0);
  // Equal losses, other gradients.
  EXPECT_NEAR(past.total.item<double>(), through.total.item<double>(), 1e-5);
  EXPECT_FALSE(at::allclose(image_.grad(), gradient_through, 0.1));
}

TEST_F(ObjectiveTest, EncoderTermsAreRelativeToTheOriginalsLatent) {
  const at::Tensor moved = model_.encoder->Mean(image_);
  const at::Tensor before = model_.encoder->Mean(original_);
  const at::Tensor size = before.square().sum();
  const LossTerms terms = Evaluate({{Objective::kAway, 2}, {Objective::kNorm, 3}});
  const double away = ((moved - before).square().sum() / size).item<double>();
  const double norm = -(moved.square().sum() / size).item<double>();
  EXPECT_NEAR(terms.away.item<double>(), away, 1e-5 * away);
  EXPECT_NEAR(terms.norm.item<double>(), norm, -1e-5 * norm);
  EXPECT_NEAR(terms.total.item<double>(), 2 * away + 3 * norm, 1e-4);
  EXPECT_FALSE(terms.denoising.defined());
}

TEST_F(ObjectiveTest, OfFurtherModelsTheMeanCounts) {
  const Surrogate second = LoadGoldenModel("sd1-like");
  const Surrogate third = LoadGoldenModel("sd2-v-like");
  ProtectionOptions options;
  options.method = Method::kAdvDm;
  options.also = {"second", "third"};
  const LossTerms terms = Evaluate(options, {second.encoder.get(), third.encoder.get()});
  ASSERT_EQ(terms.encoders.size(), 2U) << "the first model's own is not among them";
  EXPECT_NEAR(terms.away.item<double>(), (terms.encoders[0] + terms.encoders[1]).item<double>() / 2,
              1e-6);
  EXPECT_NE(terms.encoders[0].item<double>(), terms.encoders[1].item<double>());
  EXPECT_NEAR(terms.total.item<double>(), (terms.denoising + terms.away).item<double>(), 1e-5);
}

}  // namespace
}  // namespace antidiffusion
