#include "client/command_line.h"

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/exit_codes.h"

namespace antidiffusion {
namespace {

using Options = v1::ProtectionOptions;

template <typename T>
using Names = std::vector<std::pair<std::string, T>>;

constexpr char kFooter[] =
    "\nExit codes: 0 done (protect: every file is protected or skipped); 1 at least one file "
    "failed,\nor health is not SERVING; 2 wrong command line; 3 the server cannot be reached, or "
    "was lost;\n130 interrupted. Ctrl-C cancels the work on the server, a second one ends at once.";

constexpr char kProtectFooter[] =
    "\nResults: photo.jpg becomes photo.protected.png, beside it or in --output. A file whose "
    "result exists is\nskipped, which counts as OK (message \"skipped: exists\"), unless "
    "--overwrite is given. A folder stands for\nits PNG, JPEG and WebP files but not for earlier "
    "results. One bad file does not stop the others.\n"
    "\nWith --json stdout holds JSON Lines and nothing else, one object a file with exactly the "
    "keys\ninput output status message report seconds seed model model_digest; status is OK or the "
    "name of the gRPC\ncode, keys without a value are null. Progress goes to stderr: bars on a "
    "terminal, lines elsewhere.\n"
    "\nAttempts are repeated with the same request_id while the server is not reached, is loading, "
    "or says when it\nwill have room, and only before its first answer.";

bool ParseNumber(const std::string& text, uint64_t* value) { return absl::SimpleAtoi(text, value); }
bool ParseNumber(const std::string& text, int32_t* value) { return absl::SimpleAtoi(text, value); }
bool ParseNumber(const std::string& text, double* value) {
  return absl::SimpleAtod(text, value) && std::isfinite(*value);
}

// Not CLI11's own conversion: that one reads 010 as 8, wraps -1 and saturates what is too large.
template <typename T>
CLI::Option* AddNumber(CLI::App& app, const std::string& flag, const std::string& kind,
                       const std::string& help, std::function<void(T)> set) {
  return app
      .add_option_function<std::string>(
          flag,
          [flag, kind, set = std::move(set)](const std::string& text) {
            T value{};
            if (!ParseNumber(text, &value)) {
              throw CLI::ValidationError(flag, absl::StrCat(text, " is no ", kind));
            }
            set(value);
          },
          help)
      ->type_name(kind);
}

template <typename T>
void AddChoice(CLI::App& app, const std::string& flag, Names<T> names, const std::string& help,
               std::function<void(T)> set) {
  std::vector<std::string> words;
  for (const auto& [word, value] : names) words.push_back(word);
  app.add_option_function<std::string>(
         flag,
         [names = std::move(names), set = std::move(set)](const std::string& text) {
           for (const auto& [word, value] : names) {
             if (word == text) set(value);
           }
         },
         help)
      ->check(CLI::IsMember(words));
}

void AddMethodFlags(CLI::App& app, Options& options) {
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
      "Default standard; paper: the published schedule, 5 epochs of 30/10/20 steps",
      [&options](Options::Effort value) { options.set_effort(value); });
  AddNumber<double>(app, "--budget", "LEVELS",
                    "Largest change of a channel, above 0 and up to 32 of 255 levels; default "
                    "6.375",
                    [&options](double value) { options.set_budget_levels(value); });
  AddNumber<uint64_t>(app, "--seed", "UINT64", "Default: derived from the image",
                      [&options](uint64_t value) { options.set_seed(value); });
  app.add_option_function<std::string>(
         "--prompt", [&options](const std::string& text) { options.set_prompt(text); },
         "Start of prompt tuning, or the fixed prompt of methods without it; default empty")
      ->type_name("TEXT");
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
  AddNumber<double>(app, "--step-size", "LEVELS",
                    "Of the attack, above 0 and up to the budget (32 in mode released); default "
                    "0.255 in effort paper, elsewhere so that the steps can use the whole budget",
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
  AddChoice<Options::SemanticForm>(
      app, "--semantic-form",
      {{"concentration", Options::CONCENTRATION},
       {"clamped", Options::CLAMPED},
       {"start-token", Options::START_TOKEN}},
      "What the attack makes of cross-attention; default: concentration in mode paper, clamped in "
      "mode released",
      [&options](Options::SemanticForm value) { options.set_semantic_form(value); });
}

void AddConnectionFlags(CLI::App& app, CommandLine& line) {
  app.add_option("--server", line.server, "Where the service listens")
      ->envname("ANTIDIFFUSION_SERVER")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  AddNumber<double>(app, "--timeout", "SECONDS",
                    "Give up after this time (of one file, retries included); default: never",
                    [&line](double seconds) {
                      if (seconds <= 0) throw CLI::ValidationError("--timeout", "must be above 0");
                      line.timeout = absl::Seconds(seconds);
                    });
}

void AddOutputFlags(CLI::App& app, ProtectSettings& protect) {
  struct Format {
    v1::OutputOptions::Format format;
    std::string extension;
  };
  app.add_option_function<std::string>(
         "--output",
         [&protect](const std::string& folder) { protect.naming.output_folder = folder; },
         "Folder for the results, made if need be; default: beside each file")
      ->type_name("DIR");
  app.add_flag("--recursive", protect.naming.recursive,
               "Also the folders below a given folder; their places are kept under --output");
  AddNumber<int32_t>(app, "--parallel", "N", "Files at a time, 1..64; default 1",
                     [&protect](int32_t value) {
                       if (value < 1 || value > 64) {
                         throw CLI::ValidationError("--parallel", "must be 1..64");
                       }
                       protect.parallel = value;
                     });
  app.add_flag("--overwrite", protect.overwrite, "Replace results that exist");
  AddChoice<Format>(app, "--format",
                    {{"same", {v1::OutputOptions::SAME_AS_INPUT, ""}},
                     {"png", {v1::OutputOptions::PNG, "png"}},
                     {"jpeg", {v1::OutputOptions::JPEG, "jpg"}},
                     {"webp", {v1::OutputOptions::WEBP, "webp"}}},
                    "Of the results; default png, which is lossless",
                    [&protect](const Format& value) {
                      protect.request.mutable_output()->set_format(value.format);
                      protect.naming.extension = value.extension;
                    });
  AddNumber<int32_t>(
      app, "--quality", "Q", "Of JPEG and WebP, 1..100; default 95",
      [&protect](int32_t value) { protect.request.mutable_output()->set_quality(value); });
}

CLI::App* AddProtect(CLI::App& app, CommandLine& line) {
  CLI::App* protect = app.add_subcommand("protect", "Protect photographs");
  protect->footer(absl::StrCat(kProtectFooter, "\n", kFooter));
  protect->add_option("PATH", line.protect.paths, "Photographs, or folders of them")->required();
  AddConnectionFlags(*protect, line);
  AddOutputFlags(*protect, line.protect);
  protect
      ->add_option_function<std::string>(
          "--model", [&line](const std::string& name) { line.protect.request.set_model(name); },
          "One of `antidiffusion models`; default: the server's")
      ->type_name("NAME");
  protect->add_flag("--json", line.json, "One JSON object a file on stdout");
  AddMethodFlags(*protect, *line.protect.request.mutable_options());
  AddScheduleFlags(*protect, *line.protect.request.mutable_options());
  AddRefinementFlags(*protect, *line.protect.request.mutable_options());
  return protect;
}

CLI::App* AddCompare(CLI::App& app, CommandLine& line) {
  CLI::App* compare = app.add_subcommand(
      "compare", "Show original, protected and amplified difference side by side, and measure it");
  compare->add_option("A", line.compare.original, "The original")->required();
  compare->add_option("B", line.compare.changed, "Its protected copy, of the same size")
      ->required();
  compare
      ->add_option("--output", line.compare.output,
                   "The picture, replaced if it exists; default: NAME_OF_A.comparison.png beside B")
      ->type_name("PNG");
  AddNumber<double>(*compare, "--factor", "FACTOR",
                    "By which the difference is amplified, 1..255; default 8",
                    [&line](double value) {
                      if (value < 1 || value > 255) {
                        throw CLI::ValidationError("--factor", "must be 1..255");
                      }
                      line.compare.factor = value;
                    });
  return compare;
}

}  // namespace

std::variant<CommandLine, int> ParseCommandLine(int argc, const char* const* argv,
                                                std::ostream& out, std::ostream& err) {
  CommandLine line;
  CLI::App app("Protects photographs against diffusion models, by way of an antidiffusion service.",
               "antidiffusion");
  app.set_version_flag("--version", "antidiffusion " ANTIDIFFUSION_VERSION);
  app.footer(kFooter);
  app.require_subcommand(1);
  AddProtect(app, line);
  CLI::App* models = app.add_subcommand("models", "List the models of the server");
  AddConnectionFlags(*models, line);
  models->add_flag("--json", line.json, "One JSON object a model on stdout");
  CLI::App* health = app.add_subcommand("health", "Ask whether the server is SERVING");
  AddConnectionFlags(*health, line);
  CLI::App* compare = AddCompare(app, line);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error, out, err);
    return code == 0 ? kExitOk : kExitUsage;
  }
  if (models->parsed()) line.command = CommandLine::Command::kModels;
  if (health->parsed()) line.command = CommandLine::Command::kHealth;
  if (compare->parsed()) line.command = CommandLine::Command::kCompare;
  line.protect.timeout = line.timeout;
  line.protect.json = line.json;
  return line;
}

}  // namespace antidiffusion
