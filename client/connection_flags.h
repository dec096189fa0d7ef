// The flags of every command that talks to a server.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "client/credentials.h"

namespace antidiffusion {

struct ConnectionSettings {
  std::string server = "127.0.0.1:8001";  // flag, else ANTIDIFFUSION_SERVER, else this
  CredentialSettings credentials;
};

// `--server --api-key --api-key-file --tls --ca --cert --key`, into `settings`, which must outlive
// the parsing. Files are not read.
void AddConnectionFlags(CLI::App& app, ConnectionSettings& settings);

}  // namespace antidiffusion
