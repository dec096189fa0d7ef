// The command line as settings. The flags, their names and defaults are an interface that scripts
// rely on.
#pragma once

#include <ostream>
#include <string>
#include <variant>

#include "absl/time/time.h"
#include "client/connection_flags.h"
#include "client/jobs_command.h"
#include "client/protect_command.h"

namespace antidiffusion {

struct CompareSettings {
  std::string original = {};
  std::string changed = {};
  std::string output = {};  // empty: ORIGINAL's name.comparison.png beside CHANGED
  double factor = 8;        // by which the shown difference is amplified, 1..255
};

struct CommandLine {
  enum class Command { kProtect, kJobs, kModels, kHealth, kCompare };
  Command command = Command::kProtect;
  ConnectionSettings connection;
  absl::Duration timeout = absl::InfiniteDuration();
  bool json = false;
  ProtectSettings protect;  // complete, with `timeout` and `json`
  JobsSettings jobs;        // likewise
  CompareSettings compare;
};

// The settings; or an exit code where nothing is left to do: 0 after --help or --version (written
// to `out`), kExitUsage after a mistake (told on `err`). Only what the server cannot judge is
// checked here: the ranges of the protection options are the server's.
std::variant<CommandLine, int> ParseCommandLine(int argc, const char* const* argv,
                                                std::ostream& out, std::ostream& err);

}  // namespace antidiffusion
