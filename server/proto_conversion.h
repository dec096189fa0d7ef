// Between the wire and the server's own types.
#pragma once

#include <grpcpp/impl/codegen/server_context.h>
#include <grpcpp/support/status.h>

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "antidiffusion/v1/protection.pb.h"
#include "google/rpc/status.pb.h"
#include "server/job.h"
#include "server/model_catalogue.h"

namespace antidiffusion {

// Everything of a request but its image (which is large, and copied only once the job is sure to
// be taken) and its model (whose default the server knows). INVALID_ARGUMENT naming the field.
absl::StatusOr<JobRequest> ToJobRequest(const v1::ProtectRequest& request);

v1::JobEvent ToProto(const JobEvent& event, const std::string& job_name);
v1::Model ToProto(const ModelStatus& model);

// As callers see a job; `result`: with the result, where there is one.
v1::Job ToProto(const Job& job, const JobSnapshot& now, absl::Time expires, bool result);
// INVALID_ARGUMENT: not a state. STATE_UNSPECIFIED: nullopt.
absl::StatusOr<std::optional<JobState>> ToJobState(v1::Job::State state);

void ToProto(const JobResult& result, v1::ProtectionResult* proto);
// The inverse but for the image, of what was made by it.
JobResult ToJobResult(const v1::ProtectionResult& proto);

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
