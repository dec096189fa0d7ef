// How a failed call reads: for people one line, for the retry rule what the server asked for.
#pragma once

#include <map>
#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "grpcpp/support/status.h"
#include "grpcpp/support/string_ref.h"

namespace antidiffusion {

using TrailingMetadata = std::multimap<grpc::string_ref, grpc::string_ref>;

struct CallError {
  // gRPC's code. The message is one line: the server's words, the violated fields that these do
  // not name yet, and in brackets the reason and those of its facts that are not told yet. Carries
  // an ErrorReason when the server sent google.rpc.ErrorInfo.
  absl::Status status;
  // The longer one of google.rpc.RetryInfo and `grpc-retry-pushback-ms`; unset without both.
  std::optional<absl::Duration> retry_after;
  // A negative pushback: the server asks not to be asked again.
  bool retry_forbidden = false;
};

// `status` must not be OK. Details that cannot be parsed are ignored: they are the server's.
CallError ReadCallError(const grpc::Status& status, const TrailingMetadata& trailing);

// UNAVAILABLE and no word from the server: there was no connection, or it broke.
bool IsUnreachable(const absl::Status& status);

// The exit code (exit_codes.h) of a command that ended with this. CANCELLED counts as interrupted
// unless the server gave a reason: then somebody else cancelled.
int ExitCodeOf(const absl::Status& status);

}  // namespace antidiffusion
