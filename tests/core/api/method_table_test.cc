#include "core/api/method_table.h"

#include <gtest/gtest.h>

#include "core/api/loaded_models.h"

namespace antidiffusion {

// Stands in for the engine's: LoadedModels never looks into one.
class LatentEncoder {};

namespace {

using Terms = std::vector<ObjectiveTerm>;

ProtectionOptions Of(Method method) {
  ProtectionOptions options;
  options.method = method;
  return options;
}

TEST(MethodTableTest, MethodsRaiseWhatWasPublished) {
  EXPECT_EQ(ObjectivesOf(Of(Method::kAntiDiffusion)),
            (Terms{{Objective::kDenoising}, {Objective::kSemantic}}));
  EXPECT_EQ(ObjectivesOf(Of(Method::kAntiDiffusionNoSdl)), (Terms{{Objective::kDenoising}}));
  EXPECT_EQ(ObjectivesOf(Of(Method::kPhotoGuard)), (Terms{{Objective::kTarget}}));
  EXPECT_EQ(ObjectivesOf(Of(Method::kMist)),
            (Terms{{Objective::kDenoising}, {Objective::kTarget, 1.6384}}));
  EXPECT_EQ(ObjectivesOf(Of(Method::kSds)), (Terms{{Objective::kScoreDistillation}}));
  EXPECT_TRUE(ObjectivesOf(Of(Method::kNoise)).empty());
}

TEST(MethodTableTest, MethodsHaveTheirStages) {
  const auto stages = [](Method method) {
    const MethodPreset preset = PresetOf(method);
    return std::pair{preset.prompt_tuning, preset.surrogate_tuning};
  };
  EXPECT_EQ(stages(Method::kAntiDiffusion), (std::pair{true, true}));
  EXPECT_EQ(stages(Method::kAntiDiffusionNoPt), (std::pair{false, true}));
  EXPECT_EQ(stages(Method::kAntiDiffusionNoTuning), (std::pair{true, false}));
  EXPECT_EQ(stages(Method::kAntiDreamBooth), (std::pair{false, true}));
  EXPECT_EQ(stages(Method::kAdvDm), (std::pair{false, false}));
}

TEST(MethodTableTest, FurtherModelsAddAwayWhereNothingComparesLatents) {
  ProtectionOptions options = Of(Method::kAdvDm);
  options.also = {"other"};
  EXPECT_EQ(ObjectivesOf(options), (Terms{{Objective::kDenoising}, {Objective::kAway}}));
  options.objectives = {{Objective::kDenoising}, {Objective::kNorm, 3}};
  EXPECT_EQ(ObjectivesOf(options), options.objectives);
  EXPECT_EQ(ObjectivesOf([] {
              ProtectionOptions mist = Of(Method::kMist);
              mist.also = {"other"};
              return mist;
            }())
                .size(),
            2U);
}

TEST(LoadedModelsTest, FindsWhatIsThereUntilItGoes) {
  LoadedModels models;
  LatentEncoder first, second;
  EXPECT_EQ(models.Find("a"), nullptr);
  models.Add("a", first);
  EXPECT_EQ(models.Find("a"), &first);
  models.Add("a", second);
  models.Remove("a", first);  // has lost its name already
  EXPECT_EQ(models.Find("a"), &second);
  models.Remove("a", second);
  EXPECT_EQ(models.Find("a"), nullptr);
}

}  // namespace
}  // namespace antidiffusion
