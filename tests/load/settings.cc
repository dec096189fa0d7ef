#include "tests/load/settings.h"

#include <CLI/CLI.hpp>
#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/exit_codes.h"
#include "client/flags.h"
#include "client/option_flags.h"

namespace antidiffusion {
namespace {

constexpr char kFooter[] =
    "\nArrivals do not wait for answers (open loop, Poisson). Each request gets a --seed of its "
    "own, so that no\nresult comes from a cache. Refused calls are not repeated; a watch that "
    "breaks is "
    "picked up where it broke.\n"
    "\nExit codes: 0 the invariant holds; 1 it does not, or nothing was accepted; 2 wrong command "
    "line.";

Tenant ParseTenant(const std::string& text) {
  const size_t equals = text.find('=');
  Tenant tenant;
  if (equals == std::string::npos || equals == 0) {
    throw CLI::ValidationError("--tenant", "must be NAME=KEY or NAME:SHARE=KEY");
  }
  const std::vector<std::string> name = absl::StrSplit(text.substr(0, equals), ':');
  tenant.name = name.front();
  tenant.api_key = text.substr(equals + 1);
  if (name.size() > 2 ||
      (name.size() == 2 && (!absl::SimpleAtod(name[1], &tenant.share) || !(tenant.share > 0)))) {
    throw CLI::ValidationError("--tenant", absl::StrCat(text.substr(0, equals), " is no share"));
  }
  return tenant;
}

PictureSize ParseSize(const std::string& text) {
  const std::vector<std::string> sides = absl::StrSplit(text, 'x');
  PictureSize size;
  if (sides.size() != 2 || !absl::SimpleAtoi(sides[0], &size.width) ||
      !absl::SimpleAtoi(sides[1], &size.height) || size.width < 1 || size.height < 1 ||
      size.width > 16384 || size.height > 16384) {
    throw CLI::ValidationError("--size", absl::StrCat(text, " is not WIDTHxHEIGHT"));
  }
  return size;
}

void AddSeconds(CLI::App& app, const std::string& flag, const std::string& help,
                absl::Duration& value) {
  AddNumber<double>(app, flag, "SECONDS", help, [flag, &value](double seconds) {
    if (seconds <= 0) throw CLI::ValidationError(flag, "must be above 0");
    value = absl::Seconds(seconds);
  });
}

template <typename T>
void AddList(CLI::App& app, const std::string& flag, const std::string& kind,
             const std::string& help, T (*parse)(const std::string&), std::vector<T>& values) {
  app.add_option_function<std::vector<std::string>>(
         flag,
         [parse, &values](const std::vector<std::string>& texts) {
           for (const std::string& text : texts) values.push_back(parse(text));
         },
         help)
      ->type_name(kind)
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void AddArrivalFlags(CLI::App& app, LoadSettings& load) {
  AddBounded<double>(app, "--rate", "R", "Arrivals a second on average; default 10", 0.001, 1e6,
                     load.rate);
  AddNumber<uint64_t>(app, "--count", "N", "Arrivals; default 100, unless --duration is given",
                      [&load](uint64_t value) { load.count = static_cast<int64_t>(value); });
  AddSeconds(app, "--duration", "Of the arrivals, instead of or before --count", load.duration);
  AddBounded<double>(app, "--jobs-ratio", "SHARE",
                     "Arrivals that are CreateJob and WatchJob; the others are Protect; default "
                     "0.5",
                     0.0, 1.0, load.jobs_ratio);
  AddBounded<double>(app, "--cancel-ratio", "SHARE", "Arrivals that are cancelled; default 0", 0.0,
                     1.0, load.cancel_ratio);
  AddSeconds(app, "--cancel-after", "From arrival to cancel on average, exponential; default 1",
             load.cancel_after);
  AddBounded<double>(app, "--slow-ratio", "SHARE", "Slow readers; default 0", 0.0, 1.0,
                     load.slow_ratio);
  AddSeconds(app, "--slow-delay", "A slow reader's, before each message; default 0.5",
             load.slow_delay);
  AddSeconds(app, "--deadline", "Of a call, and of a job since its creation; default: none",
             load.deadline);
  AddList<Tenant>(app, "--tenant", "NAME[:SHARE]=KEY",
                  "A caller with its API key and its share of the arrivals; may be repeated. "
                  "Default: one, with --api-key",
                  ParseTenant, load.tenants);
  AddList<PictureSize>(app, "--size", "WIDTHxHEIGHT",
                       "Of the pictures; may be repeated, each as likely; default 256x256",
                       ParseSize, load.sizes);
  AddNumber<uint64_t>(app, "--random-seed", "UINT64",
                      "Of arrivals, cancels and pictures; default 1",
                      [&load](uint64_t value) { load.seed = value; });
}

void AddRunFlags(CLI::App& app, LoadSettings& load) {
  AddBounded<int32_t>(app, "--max-in-flight", "N",
                      "Arrivals beyond are counted and not sent; default 10000", 1, 1'000'000,
                      load.max_in_flight);
  AddSeconds(app, "--patience", "After the last arrival, for all that is open; default 300",
             load.patience);
  AddBounded<int32_t>(app, "--channels", "N", "Connections; default 4", 1, 1000, load.channels);
  app.add_option("--metrics", load.metrics_url,
                 "Also hold the server's own counters to the invariant, and to what was seen here")
      ->type_name("URL");
  app.add_option_function<std::string>(
         "--model", [&load](const std::string& name) { load.request.set_model(name); },
         "Default: the server's")
      ->type_name("NAME");
  app.add_flag("--json", load.json, "The report as a JSON object");
  app.add_flag("--quiet", load.quiet, "No progress on stderr");
}

void Complete(LoadSettings& load) {
  if (load.count == 0 && load.duration == absl::InfiniteDuration()) load.count = 100;
  if (load.count == 0) load.count = std::numeric_limits<int64_t>::max();
  if (load.tenants.empty()) load.tenants.emplace_back();  // with the connection's key
  if (load.sizes.empty()) load.sizes.push_back({});
}

}  // namespace

std::variant<LoadSettings, int> ParseLoadCommandLine(int argc, const char* const* argv,
                                                     std::ostream& out, std::ostream& err) {
  LoadSettings load;
  CLI::App app("Loads an antidiffusion service and tells what became of every request.",
               "antidiffusion-loadgen");
  app.footer(kFooter);
  AddConnectionFlags(app, load.connection);
  AddArrivalFlags(app, load);
  AddRunFlags(app, load);
  AddOutputFormatFlags(app, *load.request.mutable_output(), nullptr);
  AddOptionFlags(app, *load.request.mutable_options());
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error, out, err);
    return code == 0 ? kExitOk : kExitUsage;
  }
  Complete(load);
  return load;
}

}  // namespace antidiffusion
