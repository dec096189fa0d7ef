#include "server/wire/option_conversion.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/base/status_details.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Options = v1::ProtectionOptions;
using Experimental = v1::ExperimentalOptions;

// Every field set, to another value than its default.
ProtectionOptions Everything() {
  ProtectionOptions options;
  options.method = Method::kMist;
  options.mode = Mode::kReleased;
  options.effort = Effort::kDraft;
  options.budget_levels = 4.5;
  options.seed = uint64_t{1} << 63;
  options.prompt = "a photo";
  options.report = ReportLevel::kFull;
  options.epochs = 1;
  options.prompt_steps = 2;
  options.pgd_steps = 0;
  options.tuning_steps = 4;
  options.step_size_levels = 0.5;
  options.prompt_lr = 0.01;
  options.tuning_lr = 1e-5;
  options.pgd_draws = 3;
  options.momentum = 0.25;
  options.timestep_min = 10;
  options.timestep_max = 900;
  options.jpeg_quality = 75;
  options.objectives = {{Objective::kDenoising}, {Objective::kSemantic, 12.5}};
  options.random_start = false;
  options.also = {"sdxl", "flux"};
  options.visibility = 0.5;
  options.experimental = {.semantic_form = SemanticForm::kStartToken,
                          .semantic_layers = SemanticLayers::kAll,
                          .semantic_heads = SemanticHeads::kEach,
                          .texture = 0.75,
                          .frequency_power = 0.25};
  return options;
}

// Names of the fields of `message` that are not set, with those of the messages in it.
std::vector<std::string> UnsetFields(const google::protobuf::Message& message) {
  std::vector<std::string> unset;
  const auto& descriptor = *message.GetDescriptor();
  const auto& reflection = *message.GetReflection();
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const auto* field = descriptor.field(i);
    const bool set = field->is_repeated() ? reflection.FieldSize(message, field) > 0
                                          : reflection.HasField(message, field);
    if (!set) unset.push_back(field->name());
    if (!set || field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    const auto& inner = field->is_repeated() ? reflection.GetRepeatedMessage(message, field, 0)
                                             : reflection.GetMessage(message, field);
    for (const std::string& name : UnsetFields(inner)) {
      unset.push_back(field->name() + "." + name);
    }
  }
  return unset;
}

TEST(OptionConversionTest, NoFieldOfTheMessageIsForgotten) {
  EXPECT_THAT(UnsetFields(ToProto(Everything())), IsEmpty());
}

TEST(OptionConversionTest, WhatGoesOutComesBack) {
  const Options sent = ToProto(Everything());
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionOptions read, ToOptions(sent));
  EXPECT_EQ(ToProto(read).SerializeAsString(), sent.SerializeAsString());
  EXPECT_EQ(read.method, Method::kMist);
  EXPECT_EQ(read.seed, uint64_t{1} << 63);
  EXPECT_EQ(read.pgd_steps, 0);
  EXPECT_EQ(read.timestep_max, 900);
  EXPECT_EQ(read.objectives, Everything().objectives);
  EXPECT_EQ(read.random_start, false);
  EXPECT_THAT(read.also, ElementsAre("sdxl", "flux"));
  EXPECT_EQ(read.experimental.semantic_heads, SemanticHeads::kEach);
  EXPECT_EQ(read.experimental.texture, 0.75);
}

TEST(OptionConversionTest, TheMessageSaysWhatTheOptionsSay) {
  const Options sent = ToProto(Everything());
  EXPECT_EQ(sent.method(), Options::MIST);
  EXPECT_EQ(sent.mode(), Options::RELEASED);
  EXPECT_EQ(sent.effort(), Options::DRAFT);
  EXPECT_EQ(sent.report(), Options::FULL);
  EXPECT_EQ(sent.budget_levels(), 4.5);
  EXPECT_EQ(sent.prompt(), "a photo");
  EXPECT_EQ(sent.prompt_lr(), 0.01);
  EXPECT_EQ(sent.tuning_lr(), 1e-5);
  EXPECT_EQ(sent.timestep_min(), 10);
  EXPECT_EQ(sent.jpeg_quality(), 75);
  EXPECT_EQ(sent.objectives(1).objective(), v1::ObjectiveTerm::SEMANTIC);
  EXPECT_EQ(sent.objectives(1).weight(), 12.5);
  EXPECT_EQ(sent.experimental().semantic_form(), Experimental::START_TOKEN);
  EXPECT_EQ(sent.experimental().semantic_layers(), Experimental::ALL);
}

TEST(OptionConversionTest, UnsetFieldsAreTheDefaultsInBothDirections) {
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionOptions read, ToOptions(Options()));
  EXPECT_EQ(ToProto(read).SerializeAsString(), ToProto(ProtectionOptions()).SerializeAsString());
  const Options sent = ToProto(ProtectionOptions());
  EXPECT_FALSE(sent.has_seed() || sent.has_epochs() || sent.has_random_start());
  EXPECT_EQ(sent.method(), Options::ANTI_DIFFUSION);
  EXPECT_EQ(sent.effort(), Options::STANDARD);
  EXPECT_EQ(sent.budget_levels(), 6.375);
}

// Each value of an enum of the messages is one of the engine's and comes back as itself.
template <typename Set>
void ExpectAllNumbersReturn(const google::protobuf::EnumDescriptor& type, const Set& set) {
  for (int i = 0; i < type.value_count(); ++i) {
    if (type.value(i)->number() == 0) continue;
    Options sent;
    const google::protobuf::Message& holder = set(sent, type.value(i)->number());
    AD_ASSERT_OK_AND_ASSIGN(const ProtectionOptions read, ToOptions(sent));
    const std::string text = ToProto(read).DebugString();
    EXPECT_NE(text.find(": " + type.value(i)->name() + "\n"), std::string::npos)
        << holder.ShortDebugString() << " became " << text;
  }
}

TEST(OptionConversionTest, EveryWordOfEveryEnumIsKnown) {
  ExpectAllNumbersReturn(*Options::Method_descriptor(), [](Options& o, int n) -> const Options& {
    o.set_method(static_cast<Options::Method>(n));
    return o;
  });
  ExpectAllNumbersReturn(*Options::Mode_descriptor(), [](Options& o, int n) -> const Options& {
    o.set_mode(static_cast<Options::Mode>(n));
    return o;
  });
  ExpectAllNumbersReturn(*Options::Effort_descriptor(), [](Options& o, int n) -> const Options& {
    o.set_effort(static_cast<Options::Effort>(n));
    return o;
  });
  ExpectAllNumbersReturn(*Options::Report_descriptor(), [](Options& o, int n) -> const Options& {
    o.set_report(static_cast<Options::Report>(n));
    return o;
  });
  ExpectAllNumbersReturn(
      *v1::ObjectiveTerm::Objective_descriptor(), [](Options& o, int n) -> const Options& {
        o.add_objectives()->set_objective(static_cast<v1::ObjectiveTerm::Objective>(n));
        if (n == v1::ObjectiveTerm::SEMANTIC) {  // not alone
          o.add_objectives()->set_objective(v1::ObjectiveTerm::DENOISING);
        }
        return o;
      });
  ExpectAllNumbersReturn(
      *Experimental::SemanticForm_descriptor(), [](Options& o, int n) -> const Options& {
        o.mutable_experimental()->set_semantic_form(static_cast<Experimental::SemanticForm>(n));
        return o;
      });
  ExpectAllNumbersReturn(
      *Experimental::SemanticLayers_descriptor(), [](Options& o, int n) -> const Options& {
        o.mutable_experimental()->set_semantic_layers(static_cast<Experimental::SemanticLayers>(n));
        return o;
      });
  ExpectAllNumbersReturn(
      *Experimental::SemanticHeads_descriptor(), [](Options& o, int n) -> const Options& {
        o.mutable_experimental()->set_semantic_heads(static_cast<Experimental::SemanticHeads>(n));
        return o;
      });
}

TEST(OptionConversionTest, NamesTheFieldInsideOfAMessage) {
  Options sent;
  sent.mutable_experimental()->set_semantic_layers(static_cast<Experimental::SemanticLayers>(99));
  EXPECT_THAT(ToOptions(sent), ViolatesField("options.experimental.semantic_layers"));
  sent.clear_experimental();
  sent.add_objectives()->set_objective(static_cast<v1::ObjectiveTerm::Objective>(99));
  EXPECT_THAT(ToOptions(sent), ViolatesField("options.objectives.objective"));
  sent.mutable_objectives(0)->clear_objective();
  EXPECT_THAT(ToOptions(sent), ViolatesField("options.objectives.objective"));
}

TEST(OptionConversionTest, ListsAreBoundedBeforeTheyAreCopied) {
  Options sent;
  for (int i = 0; i < 1000; ++i) sent.add_also("model" + std::to_string(i));
  EXPECT_THAT(ToOptions(sent), ViolatesField("options.also"));
  sent.clear_also();
  for (int i = 0; i < 1000; ++i) sent.add_objectives();
  EXPECT_THAT(ToOptions(sent), ViolatesField("options.objectives"));
}

}  // namespace
}  // namespace antidiffusion
