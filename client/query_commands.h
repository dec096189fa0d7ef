// `antidiffusion models` and `antidiffusion health`: what a server says of itself.
#pragma once

#include <ostream>

#include "client/protection_client.h"

namespace antidiffusion {

// A table of the models on `out`, the default one marked with `*`; with `json` one object a model:
// the message antidiffusion.v1.Model in protobuf's JSON, names as in the .proto, and `default`.
// Gives the exit code; an error is a line on `err`.
int RunModels(const ProtectionClient& client, const CallOptions& call, bool json, std::ostream& out,
              std::ostream& err);

// Writes SERVING, NOT_SERVING or UNKNOWN. Exit code 0 for SERVING alone. Asks once: whoever asks
// wants to know how it is now.
int RunHealth(const ProtectionClient& client, const CallOptions& call, std::ostream& out,
              std::ostream& err);

}  // namespace antidiffusion
