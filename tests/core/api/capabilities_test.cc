#include "core/api/capabilities.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "core/api/method_table.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

ModelInfo StableDiffusionInfo() {
  ModelInfo info;
  info.name = "sd";
  info.family = "sd2";
  info.denoises = true;
  info.has_semantic_layers = true;
  return info;
}

ModelInfo EncoderInfo() {
  ModelInfo info;
  info.name = "vae";
  info.family = "encoder";
  return info;
}

ProtectionOptions Raising(std::vector<ObjectiveTerm> objectives) {
  ProtectionOptions options;
  options.objectives = std::move(objectives);
  return options;
}

TEST(CapabilitiesTest, ADiffusionModelDoesEveryMethod) {
  for (const Method method :
       {Method::kAntiDiffusion, Method::kAntiDiffusionNoPt, Method::kAntiDiffusionNoSdl,
        Method::kAntiDiffusionNoTuning, Method::kAdvDm, Method::kPhotoGuard, Method::kMist,
        Method::kAntiDreamBooth, Method::kSds, Method::kNoise}) {
    ProtectionOptions options;
    options.method = method;
    EXPECT_THAT(CheckCapabilities(options, StableDiffusionInfo()), IsOk()) << MethodName(method);
  }
}

TEST(CapabilitiesTest, AnEncoderDoesMethodsThatCompareLatents) {
  for (const Method method : {Method::kPhotoGuard, Method::kNoise}) {
    ProtectionOptions options;
    options.method = method;
    EXPECT_THAT(CheckCapabilities(options, EncoderInfo()), IsOk()) << MethodName(method);
  }
  for (const Method method : {Method::kAntiDiffusion, Method::kAdvDm, Method::kMist, Method::kSds,
                              Method::kAntiDreamBooth}) {
    ProtectionOptions options;
    options.method = method;
    EXPECT_THAT(CheckCapabilities(options, EncoderInfo()), ViolatesField("options.method"))
        << MethodName(method);
  }
}

TEST(CapabilitiesTest, ObjectivesTakeThePlaceOfTheMethodsOwn) {
  for (const Objective objective : {Objective::kAway, Objective::kNorm, Objective::kTarget}) {
    EXPECT_THAT(CheckCapabilities(Raising({{objective}}), EncoderInfo()), IsOk());
  }
  const absl::Status refused =
      CheckCapabilities(Raising({{Objective::kAway}, {Objective::kDenoising}}), EncoderInfo());
  EXPECT_THAT(refused, ViolatesField("options.objectives"));
  EXPECT_EQ(GetFieldViolation(refused)->value, "denoising");
}

TEST(CapabilitiesTest, FurtherModelsDoNotGiveAnEncoderAUNet) {
  ProtectionOptions options;
  options.also = {"other"};
  EXPECT_THAT(CheckCapabilities(options, EncoderInfo()), ViolatesField("options.method"));
  options.objectives = {{Objective::kAway}};
  EXPECT_THAT(CheckCapabilities(options, EncoderInfo()), IsOk());
}

TEST(CapabilitiesTest, ImageGuidanceNeedsAnEditor) {
  const ProtectionOptions options = Raising({{Objective::kImageGuidance}});
  EXPECT_THAT(CheckCapabilities(options, StableDiffusionInfo()),
              ViolatesField("options.objectives"));
  ModelInfo editor = StableDiffusionInfo();
  editor.family = "pix2pix";
  editor.guides_by_image = true;
  EXPECT_THAT(CheckCapabilities(options, editor), IsOk());
}

TEST(CapabilitiesTest, ASemanticTermThatWasNamedNeedsItsLayers) {
  ModelInfo model = StableDiffusionInfo();
  model.has_semantic_layers = false;
  ProtectionOptions options = Raising({{Objective::kDenoising}, {Objective::kSemantic}});
  EXPECT_THAT(CheckCapabilities(options, model), ViolatesField("options.objectives"));
  options.objectives.clear();  // the method's: goes without
  EXPECT_THAT(CheckCapabilities(options, model), IsOk());
}

TEST(CapabilitiesTest, NoiseRaisesNothing) {
  ProtectionOptions options = Raising({{Objective::kAway}});
  options.method = Method::kNoise;
  EXPECT_THAT(CheckCapabilities(options, StableDiffusionInfo()),
              ViolatesField("options.objectives"));
  options.objectives.clear();
  options.also = {"other"};
  EXPECT_THAT(CheckCapabilities(options, StableDiffusionInfo()), ViolatesField("options.also"));
}

TEST(CapabilitiesTest, TheFullReportNeedsAUNet) {
  ProtectionOptions options = Raising({{Objective::kAway}});
  options.report = ReportLevel::kFull;
  EXPECT_THAT(CheckCapabilities(options, EncoderInfo()), ViolatesField("options.report"));
  EXPECT_THAT(CheckCapabilities(options, StableDiffusionInfo()), IsOk());
}

}  // namespace
}  // namespace antidiffusion
