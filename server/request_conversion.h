// What callers ask for, checked, in the server's own types.
#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "antidiffusion/v1/protection.pb.h"
#include "server/job.h"

namespace antidiffusion {

// Everything of a request but its image (which is large, and moved only once the job is sure to
// be taken) and its model (whose default the server knows). INVALID_ARGUMENT naming the field.
absl::StatusOr<JobRequest> ToJobRequest(const v1::ProtectRequest& request);

// INVALID_ARGUMENT: not a state. STATE_UNSPECIFIED: nullopt.
absl::StatusOr<std::optional<JobState>> ToJobState(v1::Job::State state);

}  // namespace antidiffusion
