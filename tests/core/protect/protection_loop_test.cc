// How a job ends early, and that the model leaves every job as it came.
#include "core/protect/protection_loop.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/tensor/device.h"
#include "tests/core/protect/golden_model.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

ProtectionOptions ShortOptions() {
  ProtectionOptions options;
  options.epochs = 2;
  options.prompt_steps = 2;
  options.pgd_steps = 2;
  options.tuning_steps = 2;
  options.tuning_lr = 1e-3;
  return options;
}

class ProtectionLoopTest : public testing::TestWithParam<Mode> {
 protected:
  ProtectionLoopTest() {
    ConfigureTorch(1);
    loaded_ = LoadGoldenModel("sd2-v-like");
    pristine_ = std::make_unique<UNetSnapshot>(model().unet());
    for (const at::Tensor& weight : model().unet()->parameters()) {
      before_.push_back(weight.detach().clone());
    }
  }

  StableDiffusion& model() const { return *loaded_.model; }

  absl::StatusOr<at::Tensor> Protect(const ProtectionOptions& options, const RunContext& run = {}) {
    const ProtectionPlan plan = MakePlan(options, grey_);
    Random random(5);
    ProgressMeter progress(run, CountSteps(plan.schedule, options.mode), 0);
    StageContext context(random, progress);
    return RunProtection(model(), *pristine_, image_, plan, context);
  }

  // Every byte of every weight, and no trace of the job's gradients.
  void ExpectModelAsLoaded() {
    const std::vector<at::Tensor> weights = model().unet()->parameters();
    for (size_t i = 0; i < weights.size(); ++i) {
      EXPECT_EQ(std::memcmp(weights[i].data_ptr(), before_[i].data_ptr(), before_[i].nbytes()), 0);
      EXPECT_FALSE(weights[i].requires_grad());
      EXPECT_FALSE(weights[i].grad().defined());
    }
  }

  LoadedModel loaded_;
  std::unique_ptr<UNetSnapshot> pristine_;
  std::vector<at::Tensor> before_;
  at::Tensor image_ = (at::arange(3 * 64 * 32).view({1, 3, 64, 32}) * 0.37).sin();
  bool grey_ = false;
};

TEST_P(ProtectionLoopTest, ModelIsAsLoadedAfterAJob) {
  ProtectionOptions options = ShortOptions();
  options.mode = GetParam();
  EXPECT_THAT(Protect(options), IsOk());
  ExpectModelAsLoaded();
}

TEST_P(ProtectionLoopTest, WhatIsNotANumberIsNoSuccess) {
  ProtectionOptions options = ShortOptions();
  options.mode = GetParam();
  at::Tensor weight = model().unet()->named_parameters()["conv_out.bias"];
  weight.fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_THAT(Protect(options), StatusIs(absl::StatusCode::kInternal, "not a number"));
}

TEST_P(ProtectionLoopTest, CancelAtAnyStepEndsBeforeTheNextOne) {
  ProtectionOptions options = ShortOptions();
  options.mode = GetParam();
  const at::Tensor uncancelled = Protect(options).value();
  const int total = CountSteps(ResolveSchedule(options), options.mode).total();
  for (int last = 1; last < total; ++last) {
    std::stop_source stop;
    int seen = 0;
    RunContext run;
    run.stop = stop.get_token();
    run.on_progress = [&](const Progress& progress) {
      seen = progress.step;
      if (progress.step == last) stop.request_stop();
    };
    EXPECT_THAT(Protect(options, run), StatusIs(absl::StatusCode::kCancelled)) << last;
    EXPECT_EQ(seen, last);
    ExpectModelAsLoaded();
  }
  EXPECT_TRUE(at::equal(Protect(options).value(), uncancelled));
}

TEST_P(ProtectionLoopTest, DeadlineEndsBeforeTheNextStep) {
  ProtectionOptions options = ShortOptions();
  options.mode = GetParam();
  int steps = 0;
  RunContext run;
  absl::Time now = absl::FromUnixSeconds(100);
  run.now = [&] { return now; };
  run.deadline = now + absl::Seconds(6);
  run.on_progress = [&](const Progress&) {
    ++steps;
    now += absl::Seconds(1);
  };
  const auto result = Protect(options, run);
  EXPECT_THAT(result, StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(result, HasReason("DEADLINE_EXCEEDED"));
  EXPECT_EQ(steps, 6);  // the sixth is the second of surrogate tuning
  ExpectModelAsLoaded();
}

TEST_P(ProtectionLoopTest, ModelIsAsLoadedAfterAnException) {
  ProtectionOptions options = ShortOptions();
  options.mode = GetParam();
  for (const std::string stage : {"prompt_tuning", "pgd", "surrogate_tuning"}) {
    RunContext run;
    run.on_progress = [&](const Progress& progress) {
      if (progress.stage == stage && progress.step > 4) throw std::runtime_error("device fault");
    };
    EXPECT_THROW(Protect(options, run).IgnoreError(), std::runtime_error) << stage;
    ExpectModelAsLoaded();
  }
}

TEST_P(ProtectionLoopTest, GreyStaysGreyAndWithinTheBudget) {
  ProtectionOptions options = ShortOptions();
  options.mode = GetParam();
  options.epochs = 0;
  grey_ = true;
  image_ = image_.slice(1, 0, 1).expand({1, 3, 64, 32}).contiguous();
  const at::Tensor result = Protect(options).value();
  EXPECT_TRUE(at::equal(result.select(1, 0), result.select(1, 1)));
  EXPECT_TRUE(at::equal(result.select(1, 0), result.select(1, 2)));
  const double change = (result - image_).abs().max().item<double>();
  EXPECT_GT(change, 1 / 127.5);
  EXPECT_LE(change, options.budget_levels / 127.5 + 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Modes, ProtectionLoopTest, testing::Values(Mode::kPaper, Mode::kReleased),
                         [](const auto& of) {
                           return of.param == Mode::kPaper ? "Paper" : "Released";
                         });

using MethodTest = ProtectionLoopTest;

TEST_P(MethodTest, EveryMethodChangesTheImageWithinTheBudget) {
  for (const Method method :
       {Method::kAntiDiffusion, Method::kAntiDiffusionNoPt, Method::kAntiDiffusionNoSdl,
        Method::kAntiDiffusionNoTuning, Method::kAdvDm, Method::kPhotoGuard, Method::kMist,
        Method::kAntiDreamBooth, Method::kSds, Method::kNoise}) {
    ProtectionOptions options = ShortOptions();
    options.method = method;
    options.prompt = "a photo";
    const at::Tensor change = (Protect(options).value() - image_).abs();
    EXPECT_GT(change.mean().item<double>(), 1 / 127.5) << static_cast<int>(method);
    EXPECT_LE(change.max().item<double>(), options.budget_levels / 127.5 + 1e-6);
    ExpectModelAsLoaded();
  }
}

TEST_P(MethodTest, PhotoGuardMovesTheLatentToTheTarget) {
  ProtectionOptions options;
  options.method = Method::kPhotoGuard;
  options.epochs = 0;
  options.pgd_steps = 10;
  const at::NoGradGuard no_grad;
  const at::Tensor target = model().EncodeImage(at::zeros_like(image_)).mean;
  const auto distance = [&](const at::Tensor& image) {
    return (model().EncodeImage(image).mean - target).square().mean().item<double>();
  };
  at::Tensor moved;
  {
    const at::AutoGradMode grad(true);
    moved = Protect(options).value();
  }
  EXPECT_LT(distance(moved), 0.9 * distance(image_));
}

INSTANTIATE_TEST_SUITE_P(Methods, MethodTest, testing::Values(Mode::kPaper));

}  // namespace
}  // namespace antidiffusion
