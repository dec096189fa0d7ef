// What a protector does about its device's memory, weights that are lost, and other models.
#include "core/protect/local_protector.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include "core/image/visibility.h"
#include "core/protect/protection_loop.h"
#include "core/tensor/device.h"
#include "tests/core/protect/golden_model.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/synthetic_image.h"

namespace antidiffusion {
namespace {

class LocalProtectorTest : public testing::Test {
 protected:
  LocalProtectorTest() { ConfigureTorch(1); }

  std::unique_ptr<LocalProtector> Make(Surrogate model, const std::string& name) {
    return std::make_unique<LocalProtector>(std::move(model), name, loaded_,
                                            [this] { return free_; });
  }
  std::unique_ptr<LocalProtector> Make(const std::string& name) {
    return Make(LoadGoldenModel(name), name);
  }

  static ProtectionOptions ShortOptions() {
    ProtectionOptions options;
    options.epochs = 0;
    options.prompt_steps = 1;
    options.pgd_steps = 2;
    options.seed = 1;
    return options;
  }

  // What PGD takes of memory.
  static double BytesAPixel(const std::string& name, bool recomputing) {
    const Surrogate model = LoadGoldenModel(name);
    return PeakBytes({model.encoder->activation_bytes(), model.denoiser->activation_bytes().back()},
                     recomputing);
  }

  LoadedModels loaded_;
  int64_t free_ = std::numeric_limits<int64_t>::max();
};

TEST_F(LocalProtectorTest, LetterboxBarsStayAsTheyAre) {
  const auto protector = Make("sd2-v-like");
  Image image = SyntheticImage(150, 96);
  const auto row = static_cast<int64_t>(image.width) * image.channels;
  std::fill_n(image.pixels.begin(), 20 * row, 1);
  std::fill_n(image.pixels.end() - 13 * row, 13 * row, 0);
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult result,
                          protector->Protect(image, ShortOptions(), {}));
  const auto begin = image.pixels.begin();
  const auto changed = result.image.pixels.begin();
  EXPECT_TRUE(std::equal(begin, begin + 20 * row, changed));
  EXPECT_TRUE(std::equal(image.pixels.end() - 13 * row, image.pixels.end(),
                         result.image.pixels.end() - 13 * row));
  EXPECT_FALSE(std::equal(begin + 20 * row, begin + 22 * row, changed + 20 * row));
  ProtectionOptions free = ShortOptions();
  free.visibility = 0;
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult all, protector->Protect(image, free, {}));
  EXPECT_FALSE(std::equal(begin, begin + 20 * row, all.image.pixels.begin()));
}

// `image` with an alpha channel that is 0 in its upper half.
Image HalfHidden(const Image& image) {
  Image with_alpha{image.width, image.height, image.channels + 1, {}};
  const size_t half = image.pixels.size() / 2;
  for (size_t i = 0; i < image.pixels.size(); ++i) {
    with_alpha.pixels.push_back(image.pixels[i]);
    if (static_cast<int>(i) % image.channels == image.channels - 1) {
      with_alpha.pixels.push_back(i < half ? 0 : 200);
    }
  }
  return with_alpha;
}

TEST_F(LocalProtectorTest, HiddenColoursAndAlphaStayAsTheyAre) {
  const auto protector = Make("sd2-v-like");
  for (const int channels : {1, 3}) {
    const Image image = HalfHidden(SyntheticImage(96, 96, channels));
    AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult result,
                            protector->Protect(image, ShortOptions(), {}));
    ASSERT_EQ(result.image.channels, channels + 1);
    ASSERT_EQ(result.image.pixels.size(), image.pixels.size());
    size_t changed = 0;
    for (size_t i = 0; i < image.pixels.size(); ++i) {
      const bool hidden = i < image.pixels.size() / 2;
      const bool alpha = static_cast<int>(i) % (channels + 1) == channels;
      if (hidden || alpha) {
        EXPECT_EQ(result.image.pixels[i], image.pixels[i]) << i;
      } else {
        changed += result.image.pixels[i] != image.pixels[i] ? 1 : 0;
      }
    }
    EXPECT_GT(changed, image.pixels.size() / 10);
    EXPECT_LE(result.max_difference, result.bound);
  }
}

TEST_F(LocalProtectorTest, FlatAreasChangeLessByTexture) {
  const auto protector = Make("sd2-v-like");
  const Image image = SyntheticImage(96, 96);
  Image flat = image;
  std::fill_n(flat.pixels.begin(), flat.pixels.size() / 2, 128);
  ProtectionOptions options = ShortOptions();
  options.experimental.texture = 1;
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult result, protector->Protect(flat, options, {}));
  int largest = 0;
  for (size_t i = 0; i < flat.pixels.size() / 2 - size_t{4} * 96 * 3; ++i) {
    largest = std::max(largest, std::abs(flat.pixels[i] - result.image.pixels[i]));
  }
  EXPECT_EQ(largest, 2) << "9 levels of 30, of a budget of 6";
  EXPECT_EQ(result.max_difference, 6);
}

TEST_F(LocalProtectorTest, FrequencyPowerSteersThePixels) {
  const auto protector = Make("sd2-v-like");
  Image image = SyntheticImage(96, 96);
  for (uint8_t& sample : image.pixels) sample = static_cast<uint8_t>(64 + sample / 2);  // no clamp
  ProtectionOptions options = ShortOptions();
  options.visibility = 0;  // a limit takes what is coarse anyway
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult plain, protector->Protect(image, options, {}));
  options.experimental.frequency_power = 1;
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult fine, protector->Protect(image, options, {}));
  AD_ASSERT_OK_AND_ASSIGN(const Visibility before, MeasureVisibility(image, plain.image));
  AD_ASSERT_OK_AND_ASSIGN(const Visibility after, MeasureVisibility(image, fine.image));
  EXPECT_LT(after.low_frequency_share, 0.7 * before.low_frequency_share);
}

TEST_F(LocalProtectorTest, WorksInSmallerPiecesWhereMemoryIsShort) {
  const auto protector = Make("sd2-v-like");
  const Image wide = SyntheticImage(384, 96);
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult whole,
                          protector->Protect(wide, ShortOptions(), {}));
  EXPECT_EQ(whole.unet_passes, 3);
  const double bytes_a_pixel = BytesAPixel("sd2-v-like", /*recomputing=*/true);
  free_ = static_cast<int64_t>(bytes_a_pixel * 96 * 96 * 1.2);
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult cut, protector->Protect(wide, ShortOptions(), {}));
  EXPECT_EQ(cut.unet_passes, 5 * 3);
  EXPECT_LE(cut.max_difference, cut.bound);
  free_ = static_cast<int64_t>(bytes_a_pixel * 96 * 96);
  const auto refused = protector->Protect(wide, ShortOptions(), {});
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(refused, HasReason("DEVICE_MEMORY"));
}

TEST_F(LocalProtectorTest, RecomputesWhereKeepingEverythingDoesNotFit) {
  const auto protector = Make("sd2-v-like");
  const Image image = SyntheticImage(96, 96);
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult kept,
                          protector->Protect(image, ShortOptions(), {}));
  const double least = BytesAPixel("sd2-v-like", /*recomputing=*/true);
  const double most = BytesAPixel("sd2-v-like", /*recomputing=*/false);
  ASSERT_LT(least, most);
  free_ = static_cast<int64_t>((least + most) / 2 * 96 * 96 / 0.9);
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult recomputed,
                          protector->Protect(image, ShortOptions(), {}));
  EXPECT_EQ(recomputed.unet_passes, kept.unet_passes);
  // Gradients are equal up to rounding, PGD takes their signs.
  size_t equal = 0;
  for (size_t i = 0; i < kept.image.pixels.size(); ++i) {
    equal += kept.image.pixels[i] == recomputed.image.pixels[i] ? 1 : 0;
  }
  EXPECT_GT(equal, kept.image.pixels.size() * 95 / 100);
}

TEST_F(LocalProtectorTest, WeightsThatWereNotRestoredEndAllWork) {
  Surrogate model = LoadGoldenModel("sd2-v-like");
  at::Tensor weight = model.denoiser->weights().tensors().back();
  const auto protector = Make(std::move(model), "sd2-v-like");
  EXPECT_THAT(protector->SelfTest(), IsOk());
  const Image image = SyntheticImage(96, 96);
  ProtectionOptions options = ShortOptions();
  options.epochs = 1;
  options.tuning_steps = 1;
  const at::Tensor before = weight.detach().clone();
  RunContext run;
  run.on_progress = [&](const Progress& progress) {
    if (progress.stage == "surrogate_tuning") weight.set_data(at::zeros({7}));
  };
  EXPECT_THAT(protector->Protect(image, options, run), HasReason(kWeightsNotRestored));
  weight.set_data(before);  // the device works again, and yet nobody knows what it holds
  EXPECT_THAT(protector->Protect(image, ShortOptions(), {}), HasReason(kWeightsNotRestored));
  EXPECT_THAT(protector->SelfTest(), HasReason(kWeightsNotRestored));
}

TEST_F(LocalProtectorTest, FurtherModelsSteerThePixels) {
  const auto first = Make("sd2-base-like");
  const auto second = Make("sd1-like");
  const Image image = SyntheticImage(128, 128);
  ProtectionOptions options = ShortOptions();
  options.random_start = false;
  options.also = {"sd1-like"};
  options.objectives = {{Objective::kDenoising}, {Objective::kTarget, 100}};
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult with, first->Protect(image, options, {}));
  options.also.clear();
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult own, first->Protect(image, options, {}));
  EXPECT_NE(with.image, own.image);
  EXPECT_LE(with.max_difference, with.bound);
}

TEST_F(LocalProtectorTest, FurtherModelsAreFoundByName) {
  const auto first = Make("sd2-base-like");
  ProtectionOptions options = ShortOptions();
  options.also = {"sd1-like"};
  const Image image = SyntheticImage(128, 128);
  EXPECT_THAT(first->Protect(image, options, {}),
              StatusIs(absl::StatusCode::kNotFound, "sd1-like"));
  {
    const auto second = Make("sd1-like");
    EXPECT_THAT(first->Protect(image, options, {}), IsOk());
  }
  EXPECT_THAT(first->Protect(image, options, {}), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(LocalProtectorTest, OneEncoderUnderTwoNamesCountsOnce) {
  const auto first = Make("sd2-base-like");
  const auto second = Make(LoadGoldenModel("sd1-like"), "a");
  const auto copy = Make(LoadGoldenModel("sd1-like"), "b");
  const auto third = Make(LoadGoldenModel("sd2-v-like"), "c");
  ProtectionOptions options = ShortOptions();
  const Image image = SyntheticImage(128, 128);
  options.also = {"a", "c"};
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult once, first->Protect(image, options, {}));
  options.also = {"a", "b", "c"};
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult again, first->Protect(image, options, {}));
  EXPECT_EQ(once.image, again.image);
}

TEST_F(LocalProtectorTest, RefusesWhatTheModelCannotDo) {
  const auto protector = Make("sd2-v-like");
  ProtectionOptions options = ShortOptions();
  options.objectives = {{Objective::kImageGuidance}};
  EXPECT_THAT(protector->Protect(SyntheticImage(96, 96), options, {}),
              ViolatesField("options.objectives"));
}

TEST_F(LocalProtectorTest, NamesTheLayersThatTheModelHasNot) {
  const auto protector = Make("sd2-v-like");
  ProtectionOptions options = ShortOptions();
  // Cross-attention begins a level further down; the mid block's is there.
  options.experimental.semantic_layers = SemanticLayers::kWhole;
  const auto refused = protector->Protect(SyntheticImage(96, 96), options, {});
  EXPECT_THAT(refused, ViolatesField("options.experimental.semantic_layers"));
  EXPECT_EQ(GetFieldViolation(refused.status())->value, "whole");
  options.experimental.semantic_layers = SemanticLayers::kMid;
  EXPECT_THAT(protector->Protect(SyntheticImage(96, 96), options, {}), IsOk());
  options.experimental.semantic_layers = SemanticLayers::kWhole;
  options.method = Method::kAdvDm;  // asks for none
  EXPECT_THAT(protector->Protect(SyntheticImage(96, 96), options, {}), IsOk());
}

TEST_F(LocalProtectorTest, WhatLeavesIsUnseenUnlessAsked) {
  const auto protector = Make("sd2-v-like");
  const Image image = SyntheticImage(384, 384);
  ProtectionOptions options = ShortOptions();
  const auto bias = [&] {
    const ProtectionResult result = protector->Protect(image, options, {}).value();
    EXPECT_GT(result.max_difference, 0);
    return MeasureVisibility(image, result.image).value().chroma_bias;
  };
  EXPECT_LE(bias(), 0.6);
  options.visibility = 0.2;
  EXPECT_LE(bias(), 0.2);
  options.visibility = 0;
  EXPECT_GT(bias(), 0.4);
}

TEST_F(LocalProtectorTest, IsAliveAtEveryDraw) {
  const auto protector = Make("sd2-v-like");
  ProtectionOptions options = ShortOptions();
  options.pgd_draws = 5;
  int alive = 0;
  RunContext run;
  run.on_alive = [&alive] { ++alive; };
  EXPECT_THAT(protector->Protect(SyntheticImage(96, 96), options, run), IsOk());
  EXPECT_GE(alive, options.prompt_steps.value() + 5 * options.pgd_steps.value());
}

TEST_F(LocalProtectorTest, AFurtherModelWithTheSameEncoderCostsNoPass) {
  Surrogate first = LoadGoldenModel("sd2-v-like");
  const LatentEncoder& encoder = *first.encoder;
  const auto protector = Make(std::move(first), "first");
  const auto same = Make("sd2-v-like");
  ProtectionOptions options = ShortOptions();
  EXPECT_THAT(protector->Protect(SyntheticImage(96, 96), options, {}), IsOk());
  const int64_t alone = encoder.encodes_on_graph();
  options.also = {same->model().name};
  EXPECT_THAT(protector->Protect(SyntheticImage(96, 96), options, {}), IsOk());
  EXPECT_EQ(encoder.encodes_on_graph(), 2 * alone);
}

TEST_F(LocalProtectorTest, AsksBeforeEveryPassOfTheReport) {
  const auto protector = Make("sd2-v-like");
  ProtectionOptions options = ShortOptions();
  options.report = ReportLevel::kFull;
  const absl::Time now = absl::FromUnixSeconds(100);
  bool in_report = false;
  int asked = 0;
  RunContext run;
  run.deadline = now + absl::Seconds(1000);
  run.now = [&] {
    if (in_report) ++asked;
    return now;
  };
  std::stop_source stop;
  run.stop = stop.get_token();
  run.on_progress = [&](const Progress& progress) {
    if (progress.step == progress.total) in_report = true;
    if (progress.stage == "report") stop.request_stop();
  };
  EXPECT_THAT(protector->Protect(SyntheticImage(96, 96), options, run),
              StatusIs(absl::StatusCode::kCancelled));
  EXPECT_GE(asked, 8) << "once before each pass of the first probe";
}

}  // namespace
}  // namespace antidiffusion
