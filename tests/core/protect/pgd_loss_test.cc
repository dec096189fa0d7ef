#include "core/protect/pgd_loss.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/protect/method_table.h"
#include "core/tensor/device.h"
#include "tests/core/protect/golden_model.h"

namespace antidiffusion {
namespace {

class PgdLossTest : public testing::Test {
 protected:
  PgdLossTest() {
    ConfigureTorch(1);
    loaded_ = LoadGoldenModel("sd2-base-like");
    embedding_ = model().EncodePrompt("").clone().requires_grad_(true);
    target_ = model().EncodeImage(at::zeros_like(image_)).mean;
    image_.requires_grad_(true);
  }

  StableDiffusion& model() const { return *loaded_.model; }

  // Under the same draws each time.
  PgdLoss Evaluate(Method method) {
    Random random(3);
    ProgressMeter progress({}, {}, 0);
    StageContext context(random, progress);
    return EvaluatePgdLoss(model(), image_, embedding_, target_, StagesOf(method).objective, {}, {},
                           context);
  }

  LoadedModel loaded_;
  at::Tensor image_ = (at::arange(3 * 32 * 32).view({1, 3, 32, 32}) * 0.37).sin();
  at::Tensor embedding_;
  at::Tensor target_;
};

TEST_F(PgdLossTest, MistTakesTheDistanceToTheTargetOffTheDenoisingLoss) {
  const double denoising = Evaluate(Method::kAdvDm).total.item<double>();
  const double distance =
      (model().EncodeImage(image_).mean - target_).square().mean().item<double>();
  // 1e4 parts of the denoising loss to one of the sum over 4 * 64 * 64 latent values.
  const double expected = denoising - 1.6384 * distance;
  ASSERT_GT(distance, 1e-3);
  EXPECT_NEAR(Evaluate(Method::kMist).total.item<double>(), expected, 1e-5 * (1 + denoising));
  EXPECT_NEAR(Evaluate(Method::kPhotoGuard).total.item<double>(), -distance, 1e-5);
}

TEST_F(PgdLossTest, GradientOfScoreDistillationDoesNotRunThroughTheUNet) {
  const PgdLoss through = Evaluate(Method::kAdvDm);
  through.total.backward();
  ASSERT_TRUE(embedding_.grad().defined());
  EXPECT_GT(embedding_.grad().abs().max().item<double>(), 0);
  const at::Tensor gradient_through = image_.grad().clone();
  embedding_.mutable_grad() = at::Tensor();
  image_.mutable_grad() = at::Tensor();

  const PgdLoss past = Evaluate(Method::kSds);
  past.total.backward();
  EXPECT_FALSE(embedding_.grad().defined());
  EXPECT_GT(image_.grad().abs().max().item<double>(), 0);
  // Equal losses, other gradients.
  EXPECT_NEAR(past.total.item<double>(), through.total.item<double>(), 1e-5);
  EXPECT_FALSE(at::allclose(image_.grad(), gradient_through, 0.1));
}

}  // namespace
}  // namespace antidiffusion
