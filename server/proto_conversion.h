// Between the wire and the server's own types.
#pragma once

#include <grpcpp/impl/codegen/server_context.h>
#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "antidiffusion/v1/protection.pb.h"
#include "server/job.h"
#include "server/model_catalogue.h"

namespace antidiffusion {

// Everything of a request but its image (which is large, and copied only once the job is sure to
// be taken) and its model (whose default the server knows). INVALID_ARGUMENT naming the field.
absl::StatusOr<JobRequest> ToJobRequest(const v1::ProtectRequest& request);

v1::JobEvent ToProto(const JobEvent& event, const std::string& job_name);
v1::Model ToProto(const ModelStatus& model);

// The status as a caller sees it, with google.rpc details: ErrorInfo always; BadRequest, RetryInfo
// and ResourceInfo where they apply. OK stays OK.
grpc::Status ToGrpcStatus(const absl::Status& status);

// The milliseconds that gRPC's own retries are to wait (metadata grpc-retry-pushback-ms); "-1": not
// to retry; "": no word.
std::string RetryPushback(const absl::Status& status);

}  // namespace antidiffusion
