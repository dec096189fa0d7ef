// Between the wire and the server's own types.
#pragma once

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "antidiffusion/v1/protection.pb.h"
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

}  // namespace antidiffusion
