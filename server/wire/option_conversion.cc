#include "server/wire/option_conversion.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <concepts>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"

namespace antidiffusion {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using Options = v1::ProtectionOptions;
using Experimental = v1::ExperimentalOptions;

constexpr int kMaxRepeated = 16;  // bounds what is copied; Validate is stricter

// A value of the engine's enum and its number in the message. The number 0 means "unset" in every
// enum of the messages, and leaves the engine's default.
template <typename E>
struct Word {
  E value;
  int number;
};

constexpr Word<Method> kMethods[] = {
    {Method::kAntiDiffusion, Options::ANTI_DIFFUSION},
    {Method::kAntiDiffusionNoPt, Options::ANTI_DIFFUSION_NO_PT},
    {Method::kAntiDiffusionNoSdl, Options::ANTI_DIFFUSION_NO_SDL},
    {Method::kAntiDiffusionNoTuning, Options::ANTI_DIFFUSION_NO_TUNING},
    {Method::kAdvDm, Options::ADVDM},
    {Method::kPhotoGuard, Options::PHOTOGUARD},
    {Method::kMist, Options::MIST},
    {Method::kAntiDreamBooth, Options::ANTI_DREAMBOOTH},
    {Method::kSds, Options::SDS},
    {Method::kNoise, Options::NOISE},
};
constexpr Word<Mode> kModes[] = {{Mode::kPaper, Options::PAPER},
                                 {Mode::kReleased, Options::RELEASED}};
constexpr Word<Effort> kEfforts[] = {{Effort::kDraft, Options::DRAFT},
                                     {Effort::kStandard, Options::STANDARD},
                                     {Effort::kStrong, Options::STRONG},
                                     {Effort::kPublished, Options::PUBLISHED}};
constexpr Word<ReportLevel> kReportLevels[] = {{ReportLevel::kBasic, Options::BASIC},
                                               {ReportLevel::kFull, Options::FULL}};
constexpr Word<Objective> kObjectives[] = {
    {Objective::kDenoising, v1::ObjectiveTerm::DENOISING},
    {Objective::kScoreDistillation, v1::ObjectiveTerm::SCORE_DISTILLATION},
    {Objective::kSemantic, v1::ObjectiveTerm::SEMANTIC},
    {Objective::kImageGuidance, v1::ObjectiveTerm::IMAGE_GUIDANCE},
    {Objective::kAway, v1::ObjectiveTerm::AWAY},
    {Objective::kNorm, v1::ObjectiveTerm::NORM},
    {Objective::kTarget, v1::ObjectiveTerm::TARGET},
};
constexpr Word<SemanticForm> kSemanticForms[] = {
    {SemanticForm::kOfMode, Experimental::SEMANTIC_FORM_UNSPECIFIED},
    {SemanticForm::kConcentration, Experimental::CONCENTRATION},
    {SemanticForm::kClamped, Experimental::CLAMPED},
    {SemanticForm::kStartToken, Experimental::START_TOKEN},
};
constexpr Word<SemanticLayers> kSemanticLayers[] = {
    {SemanticLayers::kQuarter, Experimental::QUARTER},
    {SemanticLayers::kHalf, Experimental::HALF},
    {SemanticLayers::kWhole, Experimental::WHOLE},
    {SemanticLayers::kMid, Experimental::MID},
    {SemanticLayers::kAll, Experimental::ALL}};
constexpr Word<SemanticHeads> kSemanticHeads[] = {{SemanticHeads::kMean, Experimental::MEAN},
                                                  {SemanticHeads::kEach, Experimental::EACH}};

absl::Span<const Word<Method>> WordsOf(Method) { return kMethods; }
absl::Span<const Word<Mode>> WordsOf(Mode) { return kModes; }
absl::Span<const Word<Effort>> WordsOf(Effort) { return kEfforts; }
absl::Span<const Word<ReportLevel>> WordsOf(ReportLevel) { return kReportLevels; }
absl::Span<const Word<Objective>> WordsOf(Objective) { return kObjectives; }
absl::Span<const Word<SemanticForm>> WordsOf(SemanticForm) { return kSemanticForms; }
absl::Span<const Word<SemanticLayers>> WordsOf(SemanticLayers) { return kSemanticLayers; }
absl::Span<const Word<SemanticHeads>> WordsOf(SemanticHeads) { return kSemanticHeads; }

template <typename T, typename Of>
concept Is = std::same_as<std::remove_const_t<T>, Of>;

// Every field once: its name in the message, and where it is kept. Both directions go by this.
template <Is<ObjectiveTerm> T, typename Visitor>
void EachField(T& term, Visitor& visit) {
  visit("objective", term.objective);
  visit("weight", term.weight);
}

template <Is<ExperimentalOptions> T, typename Visitor>
void EachField(T& options, Visitor& visit) {
  visit("semantic_form", options.semantic_form);
  visit("semantic_layers", options.semantic_layers);
  visit("semantic_heads", options.semantic_heads);
  visit("texture", options.texture);
  visit("frequency_power", options.frequency_power);
}

template <Is<ProtectionOptions> T, typename Visitor>
void EachField(T& options, Visitor& visit) {
  visit("method", options.method);
  visit("mode", options.mode);
  visit("effort", options.effort);
  visit("budget_levels", options.budget_levels);
  visit("seed", options.seed);
  visit("prompt", options.prompt);
  visit("report", options.report);
  visit("epochs", options.epochs);
  visit("prompt_steps", options.prompt_steps);
  visit("pgd_steps", options.pgd_steps);
  visit("tuning_steps", options.tuning_steps);
  visit("step_size_levels", options.step_size_levels);
  visit("prompt_lr", options.prompt_lr);
  visit("tuning_lr", options.tuning_lr);
  visit("pgd_draws", options.pgd_draws);
  visit("momentum", options.momentum);
  visit("timestep_min", options.timestep_min);
  visit("timestep_max", options.timestep_max);
  visit("jpeg_quality", options.jpeg_quality);
  visit("objectives", options.objectives);
  visit("random_start", options.random_start);
  visit("also", options.also);
  visit("visibility", options.visibility);
  visit("experimental", options.experimental);
}

// Fields of a message, which outlives it, by name. A name or type that the message does not have is
// a mistake of this file: it aborts, in the test that sets every option at the latest.
class Fields {
 public:
  explicit Fields(const Message& message)
      : descriptor_(*message.GetDescriptor()), reflection_(*message.GetReflection()) {}

  const FieldDescriptor* Find(const char* name) const { return descriptor_.FindFieldByName(name); }
  const Reflection* operator->() const { return &reflection_; }

 private:
  const google::protobuf::Descriptor& descriptor_;
  const Reflection& reflection_;
};

class Writer {
 public:
  explicit Writer(Message& message) : message_(message), fields_(message) {}

  template <typename T>
  void operator()(const char* name, const T& value) {
    Write(fields_.Find(name), value);
  }

 private:
  void Write(const FieldDescriptor* at, bool value) { fields_->SetBool(&message_, at, value); }
  void Write(const FieldDescriptor* at, int value) { fields_->SetInt32(&message_, at, value); }
  void Write(const FieldDescriptor* at, uint64_t value) {
    fields_->SetUInt64(&message_, at, value);
  }
  void Write(const FieldDescriptor* at, double value) { fields_->SetDouble(&message_, at, value); }
  void Write(const FieldDescriptor* at, const std::string& value) {
    fields_->SetString(&message_, at, value);
  }
  void Write(const FieldDescriptor* at, const std::vector<std::string>& values) {
    for (const std::string& value : values) fields_->AddString(&message_, at, value);
  }
  void Write(const FieldDescriptor* at, const std::vector<ObjectiveTerm>& terms) {
    for (const ObjectiveTerm& term : terms) WriteInto(*fields_->AddMessage(&message_, at), term);
  }
  void Write(const FieldDescriptor* at, const ExperimentalOptions& options) {
    WriteInto(*fields_->MutableMessage(&message_, at), options);
  }
  template <typename T>
  void Write(const FieldDescriptor* at, const std::optional<T>& value) {
    if (value.has_value()) Write(at, *value);
  }
  template <typename E>
  requires std::is_enum_v<E>
  void Write(const FieldDescriptor* at, E value) {
    for (const auto& word : WordsOf(value)) {
      if (word.value == value) fields_->SetEnumValue(&message_, at, word.number);
    }
  }

  template <typename T>
  static void WriteInto(Message& message, const T& value) {
    Writer writer(message);
    EachField(value, writer);
  }

  Message& message_;
  const Fields fields_;
};

// Leaves alone what the message does not set.
class Reader {
 public:
  // `path`: what stands before the names of the fields in errors, "options.".
  Reader(const Message& message, std::string path)
      : message_(message), fields_(message), path_(std::move(path)) {}

  // The first error.
  const absl::Status& status() const { return status_; }

  template <typename T>
  void operator()(const char* name, T& value) {
    const FieldDescriptor* const at = fields_.Find(name);
    if (at->is_repeated() || fields_->HasField(message_, at)) Read(at, value);
  }

 private:
  void Read(const FieldDescriptor* at, bool& value) { value = fields_->GetBool(message_, at); }
  void Read(const FieldDescriptor* at, int& value) { value = fields_->GetInt32(message_, at); }
  void Read(const FieldDescriptor* at, uint64_t& value) {
    value = fields_->GetUInt64(message_, at);
  }
  void Read(const FieldDescriptor* at, double& value) { value = fields_->GetDouble(message_, at); }
  void Read(const FieldDescriptor* at, std::string& value) {
    value = fields_->GetString(message_, at);
  }
  void Read(const FieldDescriptor* at, std::vector<std::string>& values) {
    for (int i = 0; i < Count(at); ++i) {
      values.push_back(fields_->GetRepeatedString(message_, at, i));
    }
  }
  void Read(const FieldDescriptor* at, std::vector<ObjectiveTerm>& terms) {
    for (int i = 0; i < Count(at); ++i) {
      ReadFrom(at, fields_->GetRepeatedMessage(message_, at, i), terms.emplace_back());
    }
  }
  void Read(const FieldDescriptor* at, ExperimentalOptions& options) {
    ReadFrom(at, fields_->GetMessage(message_, at), options);
  }
  template <typename T>
  void Read(const FieldDescriptor* at, std::optional<T>& value) {
    Read(at, value.emplace());
  }
  template <typename E>
  requires std::is_enum_v<E>
  void Read(const FieldDescriptor* at, E& value) {
    const int number = fields_->GetEnumValue(message_, at);
    if (number == 0) return;
    for (const auto& word : WordsOf(value)) {
      if (word.number == number) {
        value = word.value;
        return;
      }
    }
    status_.Update(UnknownEnum(absl::StrCat(path_, at->name()), number));
  }

  // Of a repeated field; 0 and an error where it has more than any option may.
  int Count(const FieldDescriptor* at) {
    const int count = fields_->FieldSize(message_, at);
    if (count <= kMaxRepeated) return count;
    status_.Update(InvalidField(absl::StrCat(path_, at->name()), absl::StrCat(count, " entries"),
                                absl::StrCat("at most ", kMaxRepeated)));
    return 0;
  }

  template <typename T>
  void ReadFrom(const FieldDescriptor* at, const Message& message, T& value) {
    Reader reader(message, absl::StrCat(path_, at->name(), "."));
    EachField(value, reader);
    status_.Update(reader.status());
  }

  const Message& message_;
  const Fields fields_;
  const std::string path_;
  absl::Status status_;
};

}  // namespace

absl::Status UnknownEnum(const std::string& field, int value) {
  return InvalidField(field, absl::StrCat(value), "a value of its enum");
}

absl::StatusOr<ProtectionOptions> ToOptions(const v1::ProtectionOptions& proto) {
  ProtectionOptions options;
  Reader reader(proto, "options.");
  EachField(options, reader);
  AD_RETURN_IF_ERROR(reader.status());
  for (const v1::ObjectiveTerm& term : proto.objectives()) {
    if (term.objective() == 0) return UnknownEnum("options.objectives.objective", 0);
  }
  AD_RETURN_IF_ERROR(options.Validate());
  return options;
}

v1::ProtectionOptions ToProto(const ProtectionOptions& options) {
  v1::ProtectionOptions proto;
  Writer writer(proto);
  EachField(options, writer);
  return proto;
}

}  // namespace antidiffusion
