#include "client/command_line.h"

#include <CLI/CLI.hpp>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "client/exit_codes.h"
#include "client/flags.h"
#include "client/jobs_command_line.h"
#include "client/option_flags.h"

namespace antidiffusion {
namespace {

constexpr char kFooter[] =
    "\nExit codes: 0 done (protect: every file is protected or skipped); 1 at least one file or "
    "job failed,\nor health is not SERVING; 2 wrong command line, or a key or certificate that "
    "cannot be used; "
    "3 the server\ncannot be reached, or was lost;\n130 interrupted. Ctrl-C cancels the work on "
    "the server, a second one ends at once.";

constexpr char kProtectFooter[] =
    "\nResults: photo.jpg becomes photo.protected.png, beside it or in --output. A file whose "
    "result exists is\nskipped, which counts as OK (message \"skipped: exists\"), unless "
    "--overwrite is given. A folder stands for\nits PNG, JPEG and WebP files but not for earlier "
    "results. One bad file does not stop the others.\n"
    "\nWith --json stdout holds JSON Lines and nothing else, one object a file with exactly the "
    "keys\ninput output status message report seconds stage_seconds unet_passes seed model "
    "model_digest; status\nis OK or the name of the gRPC code, keys without a value are null. "
    "Progress goes to stderr: bars on a\nterminal, lines elsewhere.\n"
    "\nAttempts are repeated with the same request_id while the server is not reached, is loading, "
    "or says when it\nwill have room, and only before its first answer.";

void AddCallFlags(CLI::App& app, CommandLine& line) {
  AddConnectionFlags(app, line.connection);
  AddNumber<double>(app, "--timeout", "SECONDS",
                    "Give up after this time (of one file, retries included); default: never",
                    [&line](double seconds) {
                      if (seconds <= 0) throw CLI::ValidationError("--timeout", "must be above 0");
                      line.timeout = absl::Seconds(seconds);
                    });
}

void AddOutputFlags(CLI::App& app, ProtectSettings& protect) {
  app.add_option_function<std::string>(
         "--output",
         [&protect](const std::string& folder) { protect.naming.output_folder = folder; },
         "Folder for the results, made if need be; default: beside each file")
      ->type_name("DIR");
  app.add_flag("--recursive", protect.naming.recursive,
               "Also the folders below a given folder; their places are kept under --output");
  AddBounded<int32_t>(app, "--parallel", "N", "Files at a time, 1..64; default 1", 1, 64,
                      protect.parallel);
  app.add_flag("--overwrite", protect.overwrite, "Replace results that exist");
  AddOutputFormatFlags(
      app, *protect.request.mutable_output(),
      [&protect](const std::string& extension) { protect.naming.extension = extension; });
}

CLI::App* AddProtect(CLI::App& app, CommandLine& line) {
  CLI::App* protect = app.add_subcommand("protect", "Protect photographs");
  protect->footer(absl::StrCat(kProtectFooter, "\n", kFooter));
  protect->add_option("PATH", line.protect.paths, "Photographs, or folders of them")->required();
  AddCallFlags(*protect, line);
  AddOutputFlags(*protect, line.protect);
  AddRequestFlags(*protect, line.protect.request);
  protect->add_flag("--json", line.json, "One JSON object a file on stdout");
  AddOptionFlags(*protect, *line.protect.request.mutable_options());
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
  AddBounded<double>(*compare, "--factor", "FACTOR",
                     "By which the difference is amplified, 1..255; default 8", 1.0, 255.0,
                     line.compare.factor);
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
  CLI::App* jobs = AddJobs(app, line.jobs, [&line](CLI::App& command, const char* json_help) {
    AddCallFlags(command, line);
    command.add_flag("--json", line.json, json_help);
  });
  CLI::App* models = app.add_subcommand("models", "List the models of the server");
  AddCallFlags(*models, line);
  models->add_flag("--json", line.json, "One JSON object a model on stdout");
  CLI::App* health = app.add_subcommand("health", "Ask whether the server is SERVING");
  AddCallFlags(*health, line);
  CLI::App* compare = AddCompare(app, line);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error, out, err);
    return code == 0 ? kExitOk : kExitUsage;
  }
  if (jobs->parsed()) line.command = CommandLine::Command::kJobs;
  if (models->parsed()) line.command = CommandLine::Command::kModels;
  if (health->parsed()) line.command = CommandLine::Command::kHealth;
  if (compare->parsed()) line.command = CommandLine::Command::kCompare;
  line.protect.timeout = line.timeout;
  line.protect.json = line.json;
  line.jobs.timeout = line.timeout;
  line.jobs.json = line.json;
  return line;
}

}  // namespace antidiffusion
