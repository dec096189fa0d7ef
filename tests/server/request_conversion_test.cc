#include "server/request_conversion.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/base/status_details.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

TEST(ToJobRequestTest, UnsetFieldsTakeTheDefaults) {
  AD_ASSERT_OK_AND_ASSIGN(const JobRequest job, ToJobRequest(v1::ProtectRequest()));
  const ProtectionOptions defaults;
  EXPECT_EQ(job.options.method, defaults.method);
  EXPECT_EQ(job.options.mode, defaults.mode);
  EXPECT_EQ(job.options.effort, defaults.effort);
  EXPECT_EQ(job.options.budget_levels, defaults.budget_levels);
  EXPECT_FALSE(job.options.seed.has_value());
  EXPECT_FALSE(job.options.epochs.has_value());
  EXPECT_FALSE(job.options.prompt_lr.has_value());
  EXPECT_EQ(job.output, OutputFormat::kPng);
  EXPECT_EQ(job.quality, 95);
}

TEST(ToJobRequestTest, ZeroIsNotUnset) {
  v1::ProtectRequest request;
  auto* options = request.mutable_options();
  options->set_seed(0);
  options->set_epochs(0);
  options->set_prompt_steps(0);
  options->set_pgd_steps(0);
  options->set_tuning_steps(0);
  AD_ASSERT_OK_AND_ASSIGN(const JobRequest job, ToJobRequest(request));
  EXPECT_EQ(job.options.seed, 0u);
  EXPECT_EQ(job.options.epochs, 0);
  EXPECT_EQ(job.options.prompt_steps, 0);
  EXPECT_EQ(job.options.pgd_steps, 0);
  EXPECT_EQ(job.options.tuning_steps, 0);
  options->set_budget_levels(0);
  EXPECT_THAT(ToJobRequest(request), ViolatesField("options.budget_levels"));
}

TEST(ToJobRequestTest, CarriesEveryField) {
  v1::ProtectRequest request;
  request.set_model("m");
  request.set_request_id("id");
  (*request.mutable_labels())["user"] = "7";
  auto* options = request.mutable_options();
  options->set_method(v1::ProtectionOptions::MIST);
  options->set_mode(v1::ProtectionOptions::RELEASED);
  options->set_effort(v1::ProtectionOptions::PUBLISHED);
  options->set_report(v1::ProtectionOptions::FULL);
  options->set_budget_levels(8);
  options->set_seed(std::numeric_limits<uint64_t>::max());
  options->set_prompt("a photo");
  options->set_epochs(1);
  options->set_prompt_steps(2);
  options->set_pgd_steps(3);
  options->set_tuning_steps(4);
  options->set_step_size_levels(0.5);
  options->set_prompt_lr(0.01);
  options->set_tuning_lr(1e-6);
  options->set_pgd_draws(4);
  options->set_momentum(0.25);
  options->set_timestep_min(50);
  options->set_timestep_max(950);
  options->set_jpeg_quality(80);
  options->add_objectives()->set_objective(v1::ObjectiveTerm::AWAY);
  options->set_random_start(true);
  options->add_also("n");
  options->mutable_experimental()->set_semantic_form(v1::ExperimentalOptions::CLAMPED);
  request.mutable_output()->set_format(v1::OutputOptions::SAME_AS_INPUT);
  request.mutable_output()->set_quality(80);
  AD_ASSERT_OK_AND_ASSIGN(const JobRequest job, ToJobRequest(request));
  EXPECT_EQ(job.model, "m");
  EXPECT_EQ(job.request_id, "id");
  EXPECT_EQ(job.labels.at("user"), "7");
  EXPECT_EQ(job.options.method, Method::kMist);
  EXPECT_EQ(job.options.mode, Mode::kReleased);
  EXPECT_EQ(job.options.effort, Effort::kPublished);
  EXPECT_EQ(job.options.report, ReportLevel::kFull);
  EXPECT_EQ(job.options.budget_levels, 8);
  EXPECT_EQ(job.options.seed, std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(job.options.prompt, "a photo");
  EXPECT_EQ(job.options.epochs, 1);
  EXPECT_EQ(job.options.prompt_steps, 2);
  EXPECT_EQ(job.options.pgd_steps, 3);
  EXPECT_EQ(job.options.tuning_steps, 4);
  EXPECT_EQ(job.options.step_size_levels, 0.5);
  EXPECT_EQ(job.options.prompt_lr, 0.01);
  EXPECT_EQ(job.options.tuning_lr, 1e-6);
  EXPECT_EQ(job.options.pgd_draws, 4);
  EXPECT_EQ(job.options.momentum, 0.25);
  EXPECT_EQ(job.options.timestep_min, 50);
  EXPECT_EQ(job.options.timestep_max, 950);
  EXPECT_EQ(job.options.jpeg_quality, 80);
  EXPECT_EQ(job.options.objectives, (std::vector<ObjectiveTerm>{{Objective::kAway, 1}}));
  EXPECT_EQ(job.options.random_start, true);
  EXPECT_EQ(job.options.also, (std::vector<std::string>{"n"}));
  EXPECT_EQ(job.options.experimental.semantic_form, SemanticForm::kClamped);
  EXPECT_EQ(job.output, OutputFormat::kSameAsInput);
  EXPECT_EQ(job.quality, 80);
}

struct BadRequestCase {
  std::string field;
  std::function<void(v1::ProtectRequest&)> spoil;
};

TEST(ToJobRequestTest, NamesTheFieldThatIsWrong) {
  const std::vector<BadRequestCase> cases = {
      {"options.budget_levels", [](auto& r) { r.mutable_options()->set_budget_levels(1000); }},
      {"options.budget_levels",
       [](auto& r) { r.mutable_options()->set_budget_levels(std::nan("")); }},
      {"options.epochs", [](auto& r) { r.mutable_options()->set_epochs(1001); }},
      {"options.pgd_steps", [](auto& r) { r.mutable_options()->set_pgd_steps(-1); }},
      {"options.step_size_levels", [](auto& r) { r.mutable_options()->set_step_size_levels(0); }},
      {"options.prompt_lr", [](auto& r) { r.mutable_options()->set_prompt_lr(2); }},
      {"options.tuning_lr", [](auto& r) { r.mutable_options()->set_tuning_lr(-1); }},
      {"options.prompt", [](auto& r) { r.mutable_options()->set_prompt(std::string(1001, 'a')); }},
      {"options.method",
       [](auto& r) {
         r.mutable_options()->set_method(static_cast<v1::ProtectionOptions::Method>(99));
       }},
      {"options.mode",
       [](auto& r) {
         r.mutable_options()->set_mode(static_cast<v1::ProtectionOptions::Mode>(99));
       }},
      {"options.effort",
       [](auto& r) {
         r.mutable_options()->set_effort(static_cast<v1::ProtectionOptions::Effort>(99));
       }},
      {"options.report",
       [](auto& r) {
         r.mutable_options()->set_report(static_cast<v1::ProtectionOptions::Report>(99));
       }},
      {"options.experimental.semantic_form",
       [](auto& r) {
         r.mutable_options()->mutable_experimental()->set_semantic_form(
             static_cast<v1::ExperimentalOptions::SemanticForm>(99));
       }},
      {"options.objectives.weight",
       [](auto& r) {
         auto& term = *r.mutable_options()->add_objectives();
         term.set_objective(v1::ObjectiveTerm::AWAY);
         term.set_weight(0);
       }},
      {"options.objectives",
       [](auto& r) {
         r.mutable_options()->add_objectives()->set_objective(v1::ObjectiveTerm::SEMANTIC);
       }},
      {"options.also", [](auto& r) { r.mutable_options()->add_also(""); }},
      {"output.format",
       [](auto& r) { r.mutable_output()->set_format(static_cast<v1::OutputOptions::Format>(99)); }},
      {"output.quality", [](auto& r) { r.mutable_output()->set_quality(0); }},
      {"output.quality", [](auto& r) { r.mutable_output()->set_quality(101); }},
      {"request_id", [](auto& r) { r.set_request_id(std::string(129, 'i')); }},
      {"labels", [](auto& r) { (*r.mutable_labels())[std::string(65, 'k')] = "v"; }},
      {"labels", [](auto& r) { (*r.mutable_labels())["k"] = std::string(65, 'v'); }},
      {"labels",
       [](auto& r) {
         for (int i = 0; i < 17; ++i) (*r.mutable_labels())[std::to_string(i)] = "v";
       }},
  };
  for (const BadRequestCase& bad : cases) {
    v1::ProtectRequest request;
    bad.spoil(request);
    EXPECT_THAT(ToJobRequest(request), ViolatesField(bad.field)) << request.ShortDebugString();
  }
}

TEST(ToJobRequestTest, LimitsCountCharactersNotBytes) {
  v1::ProtectRequest request;
  std::string id;
  for (int i = 0; i < 128; ++i) id += "\u00e9";
  request.set_request_id(id);
  EXPECT_THAT(ToJobRequest(request), IsOk());
}

}  // namespace
}  // namespace antidiffusion
