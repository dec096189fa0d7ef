// The command line of `antidiffusion jobs`.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "client/jobs_command.h"

namespace antidiffusion {

// Adds `jobs` with its sub-commands, into `jobs`, which must outlive the parsing. `add_common` adds
// the flags that all commands share to each of them, and a `--json` with the words given.
CLI::App* AddJobs(CLI::App& app, JobsSettings& jobs,
                  const std::function<void(CLI::App&, const char* json_help)>& add_common);

}  // namespace antidiffusion
