#include "core/api/options.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

TEST(OptionsTest, DefaultsAreValid) { EXPECT_THAT(ProtectionOptions{}.Validate(), IsOk()); }

TEST(OptionsTest, BudgetIsAboveZeroAndAtMostThirtyTwo) {
  ProtectionOptions options;
  for (const double bad : {0.0, -1.0, 32.01, 1000.0, std::numeric_limits<double>::quiet_NaN(),
                           std::numeric_limits<double>::infinity()}) {
    options.budget_levels = bad;
    EXPECT_THAT(options.Validate(), ViolatesField("options.budget_levels")) << bad;
  }
  for (const double good : {0.01, 6.375, 32.0}) {
    options.budget_levels = good;
    EXPECT_THAT(options.Validate(), IsOk()) << good;
  }
}

TEST(OptionsTest, ViolationTellsValueAndLimit) {
  ProtectionOptions options;
  options.budget_levels = 1000;
  const auto violation = GetFieldViolation(options.Validate());
  ASSERT_TRUE(violation.has_value());
  EXPECT_EQ(violation->value, "1000");
  EXPECT_EQ(violation->limit, "(0, 32]");
}

TEST(OptionsTest, StepCountsAreZeroToThousand) {
  const auto check = [](std::optional<int> ProtectionOptions::*field, const std::string& name) {
    for (const int good : {0, 1000}) {
      ProtectionOptions options;
      options.*field = good;
      EXPECT_THAT(options.Validate(), IsOk()) << name << good;
    }
    for (const int bad : {-1, 1001}) {
      ProtectionOptions options;
      options.*field = bad;
      EXPECT_THAT(options.Validate(), ViolatesField(name)) << bad;
    }
  };
  check(&ProtectionOptions::epochs, "options.epochs");
  check(&ProtectionOptions::prompt_steps, "options.prompt_steps");
  check(&ProtectionOptions::pgd_steps, "options.pgd_steps");
  check(&ProtectionOptions::tuning_steps, "options.tuning_steps");
}

TEST(OptionsTest, StepSizeIsBoundByTheBudgetExceptInReleased) {
  ProtectionOptions options;
  options.budget_levels = 4;
  options.step_size_levels = 4;
  EXPECT_THAT(options.Validate(), IsOk());
  options.step_size_levels = 4.5;
  EXPECT_THAT(options.Validate(), ViolatesField("options.step_size_levels"));
  options.mode = Mode::kReleased;
  EXPECT_THAT(options.Validate(), IsOk());
  options.step_size_levels = 33;
  EXPECT_THAT(options.Validate(), ViolatesField("options.step_size_levels"));
  options.step_size_levels = 0;
  EXPECT_THAT(options.Validate(), ViolatesField("options.step_size_levels"));
}

TEST(OptionsTest, LearningRatesAreAboveZeroAndAtMostOne) {
  for (const double bad : {0.0, 1.5}) {
    ProtectionOptions options;
    options.prompt_lr = bad;
    EXPECT_THAT(options.Validate(), ViolatesField("options.prompt_lr"));
    options = {};
    options.tuning_lr = bad;
    EXPECT_THAT(options.Validate(), ViolatesField("options.tuning_lr"));
  }
}

TEST(OptionsTest, PromptIsCountedInCharactersNotBytes) {
  ProtectionOptions options;
  for (int i = 0; i < 1000; ++i) options.prompt += "\xC3\xA9";  // e with an accent, two bytes
  EXPECT_THAT(options.Validate(), IsOk());
  options.prompt += "e";
  EXPECT_THAT(options.Validate(), ViolatesField("options.prompt"));
}

TEST(OptionsTest, RefinementsHaveTheirRanges) {
  const auto violates = [](const auto& set, const std::string& field) {
    ProtectionOptions options;
    set(options);
    EXPECT_THAT(options.Validate(), ViolatesField(field));
  };
  for (const int bad : {0, 65, -1}) {
    violates([bad](ProtectionOptions& options) { options.pgd_draws = bad; }, "options.pgd_draws");
  }
  for (const double bad : {-0.1, 1.0, std::numeric_limits<double>::quiet_NaN()}) {
    violates([bad](ProtectionOptions& options) { options.momentum = bad; }, "options.momentum");
  }
  for (const int bad : {-1, 101}) {
    violates([bad](ProtectionOptions& options) { options.jpeg_quality = bad; },
             "options.jpeg_quality");
  }
  for (const double bad : {-0.1, 20.1, std::numeric_limits<double>::quiet_NaN()}) {
    violates([bad](ProtectionOptions& options) { options.visibility = bad; }, "options.visibility");
  }
  for (const double bad : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()}) {
    violates([bad](ProtectionOptions& options) { options.experimental.texture = bad; },
             "options.experimental.texture");
    violates([bad](ProtectionOptions& options) { options.experimental.frequency_power = bad; },
             "options.experimental.frequency_power");
  }
  violates([](ProtectionOptions& options) { options.timestep_min = 1000; }, "options.timestep_min");
  violates([](ProtectionOptions& options) { options.timestep_max = 1000; }, "options.timestep_max");
  const auto crossed = [](ProtectionOptions& options) {
    options.timestep_min = 500;
    options.timestep_max = 499;
  };
  violates(crossed, "options.timestep_max");
  const auto min_alone_is_wrong = [](ProtectionOptions& options) {
    options.timestep_min = 5000;
    options.timestep_max = 900;
  };
  violates(min_alone_is_wrong, "options.timestep_min");
  ProtectionOptions good;
  good.pgd_draws = 64;
  good.momentum = 0.99;
  good.timestep_min = 500;
  good.timestep_max = 500;
  good.jpeg_quality = 100;
  good.visibility = 0;
  EXPECT_THAT(good.Validate(), IsOk());
}

TEST(OptionsTest, WeightsOfObjectivesAreAboveZeroAndAtMostAMillion) {
  for (const double bad : {0.0, -1.0, 1.1e6, std::numeric_limits<double>::quiet_NaN(),
                           std::numeric_limits<double>::infinity()}) {
    ProtectionOptions options;
    options.objectives = {{Objective::kAway}, {Objective::kNorm, bad}};
    EXPECT_THAT(options.Validate(), ViolatesField("options.objectives.weight")) << bad;
  }
  for (const double good : {1e-9, 1.0, 1e6}) {
    ProtectionOptions options;
    options.objectives = {{Objective::kAway, good}};
    EXPECT_THAT(options.Validate(), IsOk()) << good;
  }
}

TEST(OptionsTest, AnObjectiveIsNamedOnceAndBesideThoseThatItGoesWith) {
  const auto validate = [](std::vector<ObjectiveTerm> objectives) {
    ProtectionOptions options;
    options.objectives = std::move(objectives);
    return options.Validate();
  };
  EXPECT_THAT(validate({{Objective::kDenoising},
                        {Objective::kSemantic, 100},
                        {Objective::kImageGuidance},
                        {Objective::kAway},
                        {Objective::kNorm},
                        {Objective::kTarget}}),
              IsOk());
  EXPECT_THAT(validate({{Objective::kScoreDistillation}, {Objective::kTarget}}), IsOk());
  const absl::Status twice = validate({{Objective::kAway}, {Objective::kNorm}, {Objective::kAway}});
  EXPECT_THAT(twice, ViolatesField("options.objectives"));
  EXPECT_EQ(GetFieldViolation(twice)->value, "away twice");
  EXPECT_THAT(validate({{Objective::kDenoising}, {Objective::kScoreDistillation}}),
              ViolatesField("options.objectives"));
  EXPECT_THAT(validate({{Objective::kSemantic}}), ViolatesField("options.objectives"));
  EXPECT_THAT(validate({{Objective::kScoreDistillation}, {Objective::kSemantic}}),
              ViolatesField("options.objectives"));
}

TEST(OptionsTest, FurtherModelsAreFewAndNamedOnce) {
  ProtectionOptions options;
  for (int i = 0; i < 7; ++i) options.also.push_back("model" + std::to_string(i));
  EXPECT_THAT(options.Validate(), IsOk());
  options.also.push_back("one-more");
  EXPECT_THAT(options.Validate(), ViolatesField("options.also"));
  for (const std::vector<std::string>& bad :
       std::vector<std::vector<std::string>>{{"a", "b", "a"}, {""}, {std::string(257, 'm')}}) {
    options.also = bad;
    EXPECT_THAT(options.Validate(), ViolatesField("options.also")) << bad.front();
  }
  options.also = {std::string(256, 'm')};
  EXPECT_THAT(options.Validate(), IsOk());
}

}  // namespace
}  // namespace antidiffusion
