// How a job ends early, and that the model leaves every job as it came.
#include "core/protect/protection_loop.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cstring>
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

ProtectionOptions LoopOptions() {
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
    model_ = LoadGoldenModel("sd2-v-like");
    for (const at::Tensor& weight : weights()) {
      before_.push_back(weight.detach().clone());
    }
  }

  const std::vector<at::Tensor>& weights() const { return model_.denoiser->weights().tensors(); }

  absl::StatusOr<at::Tensor> Protect(const ProtectionOptions& options, const RunContext& run = {}) {
    const Plan plan = PlanFor(model_, options, grey_);
    Random random(5);
    ProgressMeter progress(run, CountSteps(plan), 0);
    StageContext context(random, progress);
    return RunProtection(model_, {}, {image_}, plan, context);
  }

  // Every byte of every weight, and no trace of the job's gradients.
  void ExpectModelAsLoaded() {
    for (size_t i = 0; i < weights().size(); ++i) {
      const at::Tensor& weight = weights()[i];
      EXPECT_EQ(std::memcmp(weight.data_ptr(), before_[i].data_ptr(), before_[i].nbytes()), 0);
      EXPECT_FALSE(weight.requires_grad());
      EXPECT_FALSE(weight.grad().defined());
    }
  }

  Surrogate model_;
  std::vector<at::Tensor> before_;
  at::Tensor image_ = (at::arange(3 * 64 * 32).view({1, 3, 64, 32}) * 0.37).sin();
  bool grey_ = false;
};

TEST_P(ProtectionLoopTest, ModelIsAsLoadedAfterAJob) {
  ProtectionOptions options = LoopOptions();
  options.mode = GetParam();
  EXPECT_THAT(Protect(options), IsOk());
  ExpectModelAsLoaded();
}

TEST_P(ProtectionLoopTest, WhatIsNotFiniteIsNoSuccessInAnyStage) {
  const auto expect_diverged = [this](const ProtectionOptions& options, const std::string& stage) {
    EXPECT_THAT(Protect(options), StatusIs(absl::StatusCode::kInternal, stage + " is not finite"));
  };
  ProtectionOptions options = LoopOptions();
  options.mode = GetParam();
  at::Tensor bias = weights().back();  // conv_out.bias
  const at::Tensor before = bias.clone();
  bias.fill_(std::numeric_limits<float>::quiet_NaN());
  expect_diverged(options, "prompt_tuning");
  options.prompt_steps = 0;
  expect_diverged(options, "pgd");
  options.pgd_steps = 0;
  expect_diverged(options, "surrogate_tuning");
  bias.copy_(before);
}

TEST_P(ProtectionLoopTest, CancelAtAnyStepEndsBeforeTheNextOne) {
  ProtectionOptions options = LoopOptions();
  options.mode = GetParam();
  const at::Tensor uncancelled = Protect(options).value();
  const int total = CountSteps(PlanFor(model_, options)).total();
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
  ProtectionOptions options = LoopOptions();
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
  ProtectionOptions options = LoopOptions();
  options.mode = GetParam();
  for (const std::string stage : {"prompt_tuning", "pgd", "surrogate_tuning"}) {
    RunContext run;
    run.on_progress = [&](const Progress& progress) {
      if (progress.stage == stage && progress.step > 4) throw std::runtime_error("device fault");
    };
    EXPECT_THAT(Protect(options, run), StatusIs(absl::StatusCode::kInternal, "device fault"))
        << stage;
    ExpectModelAsLoaded();
  }
}

TEST_P(ProtectionLoopTest, WeightsThatCannotBeRestoredAreToldWhateverElseHappened) {
  ProtectionOptions options = LoopOptions();
  options.mode = GetParam();
  std::stop_source stop;
  RunContext run;
  run.stop = stop.get_token();
  at::Tensor weight = weights().back();
  run.on_progress = [&](const Progress& progress) {
    if (progress.stage != "surrogate_tuning") return;
    weight.set_data(at::zeros({7}));  // as if its memory were gone
    stop.request_stop();
  };
  const auto result = Protect(options, run);
  EXPECT_THAT(result, StatusIs(absl::StatusCode::kInternal));
  EXPECT_THAT(result, HasReason(kWeightsNotRestored));
}

TEST_P(ProtectionLoopTest, TheWeightsAreCopiedWhenTheyAreFirstMoved) {
  ProtectionOptions options = LoopOptions();
  options.mode = GetParam();
  options.epochs = 0;
  EXPECT_THAT(Protect(options), IsOk());
  EXPECT_FALSE(model_.denoiser->weights().has_copy());
  options.epochs = 1;
  EXPECT_THAT(Protect(options), IsOk());
  EXPECT_TRUE(model_.denoiser->weights().has_copy());
}

TEST_P(ProtectionLoopTest, ARandomStartIsWithinTheBudgetAndIsLeftByTheFirstStep) {
  ProtectionOptions options = LoopOptions();
  options.mode = GetParam();
  options.epochs = 0;
  options.random_start = true;
  options.step_size_levels = 0.5;
  const at::Tensor change = (Protect(options).value() - image_).abs();
  EXPECT_LE(change.max().item<double>(), options.budget_levels / 127.5 + 1e-6);
  EXPECT_GT(change.max().item<double>(), 0.8 * options.budget_levels / 127.5);
  options.pgd_steps = 0;  // no PGD, no start of it
  EXPECT_TRUE(at::equal(Protect(options).value(), image_));
}

TEST_P(ProtectionLoopTest, GreyStaysGreyAndWithinTheBudget) {
  ProtectionOptions options = LoopOptions();
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
    ProtectionOptions options = LoopOptions();
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
  const at::Tensor target = model_.encoder->Mean(at::zeros_like(image_));
  const auto distance = [&](const at::Tensor& image) {
    return (model_.encoder->Mean(image) - target).square().mean().item<double>();
  };
  at::Tensor moved;
  {
    const at::AutoGradMode grad(true);
    moved = Protect(options).value();
  }
  EXPECT_LT(distance(moved), 0.9 * distance(image_));
}

INSTANTIATE_TEST_SUITE_P(Methods, MethodTest, testing::Values(Mode::kPaper));

// An encoder whose gradient is infinite where a pixel is black, with finite values everywhere.
class RootEncoder : public LatentEncoder {
 public:
  RootEncoder() : LatentEncoder(Settings()) {}
  void Recompute(bool) override {}

 protected:
  Output Run(const at::Tensor& image) override { return {(image + 1).sqrt(), {}}; }

 private:
  static EncoderSettings Settings() {
    EncoderSettings settings;
    settings.factor = 1;
    settings.latent_channels = 3;
    return settings;
  }
};

// It is no NaN; momentum divides by its mean magnitude, and then every pixel would stay as it is.
TEST(EncoderLoopTest, AnInfiniteGradientIsNoSuccess) {
  Surrogate model;
  model.family = "encoder";
  model.encoder = std::make_unique<RootEncoder>();
  ProtectionOptions options;
  options.objectives = {{Objective::kTarget}};
  options.momentum = 0.9;
  const Plan plan = PlanFor(model, options);
  const auto protect = [&](const at::Tensor& image) {
    Random random(5);
    ProgressMeter progress({}, CountSteps(plan), 0);
    StageContext context(random, progress);
    return RunProtection(model, {}, {image}, plan, context).status();
  };
  at::Tensor image = at::full({1, 3, 8, 8}, 0.5);
  EXPECT_THAT(protect(image), IsOk());
  image[0][0][0][0] = -1;
  EXPECT_THAT(protect(image), StatusIs(absl::StatusCode::kInternal, "pgd is not finite"));
}

}  // namespace
}  // namespace antidiffusion
