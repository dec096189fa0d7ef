// Between absl's statuses and those of the wire, with their google.rpc details.
#pragma once

#include <grpcpp/support/status.h>

#include <string>

#include "absl/status/status.h"
#include "google/rpc/status.pb.h"

namespace antidiffusion {

// The status as a caller sees it, with google.rpc details: ErrorInfo always; BadRequest, RetryInfo
// and ResourceInfo where they apply. OK stays OK.
grpc::Status ToGrpcStatus(const absl::Status& status);
google::rpc::Status ToRichStatus(const absl::Status& status);
// The inverse: code, message, reason, field violation and retry delay.
absl::Status FromRichStatus(const google::rpc::Status& rich);

// The milliseconds that gRPC's own retries are to wait (metadata grpc-retry-pushback-ms); "-1": not
// to retry; "": no word.
std::string RetryPushback(const absl::Status& status);

}  // namespace antidiffusion
