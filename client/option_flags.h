// The flags of what is asked of the service: the same for every command that sends photographs.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "antidiffusion/v1/protection.pb.h"

namespace antidiffusion {

// `--method` and all other options of a protection, presets first. Fields whose flag is not given
// stay unset; ranges are the server's. `options` must outlive the parsing.
void AddOptionFlags(CLI::App& app, v1::ProtectionOptions& options);

// `--model --priority --request-id --label`, into `request`, which must outlive the parsing.
void AddRequestFlags(CLI::App& app, v1::ProtectRequest& request);

// `--format --quality`, into `output`. `set_extension`, unless null, hears that of the results,
// without a dot; empty: that of the input.
void AddOutputFormatFlags(CLI::App& app, v1::OutputOptions& output,
                          const std::function<void(const std::string&)>& set_extension);

}  // namespace antidiffusion
