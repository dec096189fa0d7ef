#include "client/option_flags.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/flags.h"

namespace antidiffusion {
namespace {

using Options = v1::ProtectionOptions;

// Headings of the help.
constexpr char kPresets[] = "Protection";
constexpr char kExpert[] = "Expert options of the protection (the presets set them all)";
constexpr char kExperimental[] = "Experimental (for research; may change or go)";

void AddMethodFlag(CLI::App& app, Options& options) {
  AddChoice<Options::Method>(app, "--method",
                             {{"anti-diffusion", Options::ANTI_DIFFUSION},
                              {"anti-diffusion-no-pt", Options::ANTI_DIFFUSION_NO_PT},
                              {"anti-diffusion-no-sdl", Options::ANTI_DIFFUSION_NO_SDL},
                              {"anti-diffusion-no-tuning", Options::ANTI_DIFFUSION_NO_TUNING},
                              {"advdm", Options::ADVDM},
                              {"photoguard", Options::PHOTOGUARD},
                              {"mist", Options::MIST},
                              {"anti-dreambooth", Options::ANTI_DREAMBOOTH},
                              {"sds", Options::SDS},
                              {"noise", Options::NOISE}},
                             "Default anti-diffusion; the no-... are its ablations, noise is for "
                             "comparison",
                             [&options](Options::Method value) { options.set_method(value); });
}

void AddPresetFlags(CLI::App& app, Options& options) {
  AddMethodFlag(app, options);
  AddChoice<Options::Mode>(app, "--mode",
                           {{"paper", Options::PAPER}, {"released", Options::RELEASED}},
                           "Default paper; released: what the published script does when run",
                           [&options](Options::Mode value) { options.set_mode(value); });
  AddChoice<Options::Effort>(
      app, "--effort",
      {{"draft", Options::DRAFT},
       {"standard", Options::STANDARD},
       {"strong", Options::STRONG},
       {"paper", Options::PUBLISHED}},
      "draft: 10 steps of the attack; standard (default): prompt tuning and 30; strong: surrogate "
      "tuning too, 200 steps; paper: the published schedule, 310",
      [&options](Options::Effort value) { options.set_effort(value); });
  AddNumber<double>(app, "--budget", "LEVELS",
                    "Largest change of a channel, above 0 and up to 32 of 255 levels; default "
                    "6.375",
                    [&options](double value) { options.set_budget_levels(value); });
  AddNumber<double>(app, "--visibility", "BIAS",
                    "Largest shift of colour that patches may show, up to 20 CIELAB units; 0: no "
                    "limit; default 0.6, which is unseen (mode released: no limit)",
                    [&options](double value) { options.set_visibility(value); });
  AddNumber<uint64_t>(app, "--seed", "UINT64", "Default: derived from the image",
                      [&options](uint64_t value) { options.set_seed(value); });
  app.add_option_function<std::string>(
         "--prompt", [&options](const std::string& text) { options.set_prompt(text); },
         "Start of prompt tuning, or the fixed prompt of methods without it; default empty")
      ->type_name("TEXT");
  AddRepeated(
      app, "--also", "MODEL",
      "A further model of the server whose encoder the attack moves the photograph in, too; "
      "may be repeated, up to 7 times",
      [&options](const std::string& name) { options.add_also(name); });
  AddChoice<Options::Report>(
      app, "--report", {{"basic", Options::BASIC}, {"full", Options::FULL}},
      "Default basic; full: also how well the protection works, and what JPEG, a resize and a blur "
      "leave of it",
      [&options](Options::Report value) { options.set_report(value); });
}

void AddScheduleFlags(CLI::App& app, Options& options) {
  const std::string steps = "STEPS";
  AddNumber<int32_t>(app, "--epochs", "EPOCHS", "0..1000; default: the effort's",
                     [&options](int32_t value) { options.set_epochs(value); });
  AddNumber<int32_t>(app, "--prompt-steps", steps,
                     "Of prompt tuning an epoch, 0..1000; default: the effort's",
                     [&options](int32_t value) { options.set_prompt_steps(value); });
  AddNumber<int32_t>(app, "--pgd-steps", steps,
                     "Of the attack an epoch, 0..1000; default: the effort's",
                     [&options](int32_t value) { options.set_pgd_steps(value); });
  AddNumber<int32_t>(app, "--tuning-steps", steps,
                     "Of surrogate tuning an epoch, 0..1000; default: the effort's",
                     [&options](int32_t value) { options.set_tuning_steps(value); });
  AddNumber<double>(
      app, "--step-size", "LEVELS",
      "Of the attack, above 0 and up to the budget (32 in mode released); default "
      "0.255 in effort paper, elsewhere 0.3 of the budget, more where the steps are few",
      [&options](double value) { options.set_step_size_levels(value); });
  AddNumber<double>(app, "--prompt-lr", "RATE",
                    "Learning rate of prompt tuning, above 0 and up to 1; default 1e-3",
                    [&options](double value) { options.set_prompt_lr(value); });
  AddNumber<double>(app, "--tuning-lr", "RATE",
                    "Learning rate of surrogate tuning, above 0 and up to 1; default 5e-7",
                    [&options](double value) { options.set_tuning_lr(value); });
}

void AddRefinementFlags(CLI::App& app, Options& options) {
  AddNumber<int32_t>(app, "--pgd-draws", "DRAWS",
                     "Timesteps and noises that one step of the attack averages over, 1..64; "
                     "default: the effort's",
                     [&options](int32_t value) { options.set_pgd_draws(value); });
  AddNumber<double>(
      app, "--momentum", "SHARE",
      "Of the attack's earlier gradients kept, 0 up to below 1; default: the effort's",
      [&options](double value) { options.set_momentum(value); });
  AddNumber<int32_t>(app, "--timestep-min", "T",
                     "First timestep drawn in the attack, 0..999; default: the effort's",
                     [&options](int32_t value) { options.set_timestep_min(value); });
  AddNumber<int32_t>(app, "--timestep-max", "T",
                     "Last timestep drawn in the attack, up to 999; default: the effort's",
                     [&options](int32_t value) { options.set_timestep_max(value); });
  AddNumber<int32_t>(app, "--jpeg-quality", "Q",
                     "Every other draw looks through JPEG of this quality, 1..100, so that the "
                     "protection outlives it better; 0: none does; default: the effort's",
                     [&options](int32_t value) { options.set_jpeg_quality(value); });
}

constexpr std::pair<const char*, v1::ObjectiveTerm::Objective> kObjectives[] = {
    {"denoising", v1::ObjectiveTerm::DENOISING},
    {"score-distillation", v1::ObjectiveTerm::SCORE_DISTILLATION},
    {"semantic", v1::ObjectiveTerm::SEMANTIC},
    {"image-guidance", v1::ObjectiveTerm::IMAGE_GUIDANCE},
    {"away", v1::ObjectiveTerm::AWAY},
    {"norm", v1::ObjectiveTerm::NORM},
    {"target", v1::ObjectiveTerm::TARGET}};

// Of TERM or TERM=WEIGHT.
v1::ObjectiveTerm ParseObjective(const std::string& text) {
  constexpr char kFlag[] = "--objective";
  const size_t equals = text.find('=');
  std::string name = text.substr(0, equals);
  std::replace(name.begin(), name.end(), '_', '-');  // as the service spells it
  v1::ObjectiveTerm term;
  for (const auto& [word, objective] : kObjectives) {
    if (word == name) term.set_objective(objective);
  }
  if (term.objective() == v1::ObjectiveTerm::OBJECTIVE_UNSPECIFIED) {
    throw CLI::ValidationError(kFlag, absl::StrCat(name, " is no objective"));
  }
  if (equals == std::string::npos) return term;
  double weight = 0;
  if (!ParseNumber(text.substr(equals + 1), &weight)) {
    throw CLI::ValidationError(kFlag, absl::StrCat(text, " is not TERM=WEIGHT"));
  }
  term.set_weight(weight);
  return term;
}

void AddObjectiveFlags(CLI::App& app, Options& options) {
  AddRepeated(
      app, "--objective", "TERM[=WEIGHT]",
      "What the attack raises instead of the method's own: a sum of denoising or "
      "score-distillation, semantic (with denoising), image-guidance (pix2pix), away, norm, "
      "target (of encoders); weights above 0 and up to 1e6, default 1; may be repeated",
      [&options](const std::string& text) { *options.add_objectives() = ParseObjective(text); });
  CLI::Option* start = app.add_flag_callback(
      "--random-start", [&options] { options.set_random_start(true); },
      "Begin the attack at the original plus uniform noise; default: only with away");
  app.add_flag_callback(
         "--no-random-start", [&options] { options.set_random_start(false); },
         "Begin it at the original")
      ->excludes(start);
}

void AddExperimentalFlags(CLI::App& app, Options& options) {
  using Experimental = v1::ExperimentalOptions;
  AddChoice<Experimental::SemanticForm>(
      app, "--semantic-form",
      {{"concentration", Experimental::CONCENTRATION},
       {"clamped", Experimental::CLAMPED},
       {"start-token", Experimental::START_TOKEN}},
      "What objective semantic makes of cross-attention; default: concentration in mode paper, "
      "clamped in mode released",
      [&options](Experimental::SemanticForm value) {
        options.mutable_experimental()->set_semantic_form(value);
      });
  AddChoice<Experimental::SemanticLayers>(
      app, "--semantic-layers",
      {{"quarter", Experimental::QUARTER},
       {"half", Experimental::HALF},
       {"whole", Experimental::WHOLE},
       {"mid", Experimental::MID},
       {"all", Experimental::ALL}},
      "Layers whose cross-attention that is, by the side of the latent that they see; default "
      "quarter, as published",
      [&options](Experimental::SemanticLayers value) {
        options.mutable_experimental()->set_semantic_layers(value);
      });
  AddChoice<Experimental::SemanticHeads>(
      app, "--semantic-heads", {{"mean", Experimental::MEAN}, {"each", Experimental::EACH}},
      "Whether their heads are averaged first (default) or count each by itself",
      [&options](Experimental::SemanticHeads value) {
        options.mutable_experimental()->set_semantic_heads(value);
      });
  AddNumber<double>(
      app, "--texture", "SHARE",
      "How much less than the whole budget flat areas get, 0..1; default 0",
      [&options](double value) { options.mutable_experimental()->set_texture(value); });
  AddNumber<double>(
      app, "--frequency-power", "POWER",
      "How much more fine patterns count than coarse ones in the attack, 0..1; default 0",
      [&options](double value) { options.mutable_experimental()->set_frequency_power(value); });
}

// What `add` adds stands under `heading` in the help.
void AddGroup(CLI::App& app, const std::string& heading, Options& options,
              void (*add)(CLI::App&, Options&)) {
  const std::string before = app.option_defaults()->get_group();
  app.option_defaults()->group(heading);
  add(app, options);
  app.option_defaults()->group(before);
}

}  // namespace

void AddOptionFlags(CLI::App& app, v1::ProtectionOptions& options) {
  AddGroup(app, kPresets, options, AddPresetFlags);
  AddGroup(app, kExpert, options, AddScheduleFlags);
  AddGroup(app, kExpert, options, AddRefinementFlags);
  AddGroup(app, kExpert, options, AddObjectiveFlags);
  AddGroup(app, kExperimental, options, AddExperimentalFlags);
}

void AddRequestFlags(CLI::App& app, v1::ProtectRequest& request) {
  app.add_option_function<std::string>(
         "--model", [&request](const std::string& name) { request.set_model(name); },
         "One of `antidiffusion models`; default: the server's")
      ->type_name("NAME");
  AddChoice<v1::Priority>(
      app, "--priority", {{"interactive", v1::PRIORITY_INTERACTIVE}, {"batch", v1::PRIORITY_BATCH}},
      "Default: interactive for protect, batch for jobs create",
      [&request](v1::Priority value) { request.set_priority(value); });
  app.add_option_function<std::string>(
         "--request-id", [&request](const std::string& id) { request.set_request_id(id); },
         "Of a single file: an equal id with an equal request is the same job for 24 hours, while "
         "the job is kept; default: random")
      ->type_name("ID");
  AddRepeated(app, "--label", "KEY=VALUE", "Kept with the job; may be repeated",
              [&request](const std::string& label) {
                const size_t equals = label.find('=');
                if (equals == std::string::npos || equals == 0) {
                  throw CLI::ValidationError("--label", absl::StrCat(label, " is not KEY=VALUE"));
                }
                (*request.mutable_labels())[label.substr(0, equals)] = label.substr(equals + 1);
              });
}

void AddOutputFormatFlags(CLI::App& app, v1::OutputOptions& output,
                          const std::function<void(const std::string&)>& set_extension) {
  struct Format {
    v1::OutputOptions::Format format;
    std::string extension;
  };
  AddChoice<Format>(app, "--format",
                    {{"same", {v1::OutputOptions::SAME_AS_INPUT, ""}},
                     {"png", {v1::OutputOptions::PNG, "png"}},
                     {"jpeg", {v1::OutputOptions::JPEG, "jpg"}},
                     {"webp", {v1::OutputOptions::WEBP, "webp"}}},
                    "Of the results; default png, which is lossless",
                    [&output, set_extension](const Format& value) {
                      output.set_format(value.format);
                      if (set_extension) set_extension(value.extension);
                    });
  AddNumber<int32_t>(app, "--quality", "Q", "Of JPEG and WebP, 1..100; default 95",
                     [&output](int32_t value) { output.set_quality(value); });
}

}  // namespace antidiffusion
