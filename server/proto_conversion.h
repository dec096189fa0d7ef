// The server's own types as the wire has them; the way in is request_conversion.h.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "antidiffusion/v1/protection.pb.h"
#include "server/job.h"
#include "server/model_catalogue.h"

namespace antidiffusion {

v1::Job::State ToProto(JobState state);
// A result without its image.
v1::JobEvent ToProto(const JobEvent& event, const std::string& job_name);
v1::Model ToProto(const ModelStatus& model);

// As callers see a job; `result`: with the result, where there is one, but for its image.
v1::Job ToProto(const Job& job, const JobSnapshot& now, absl::Time expires, bool result);

void ToProto(const Progress& progress, v1::Progress* proto);
Progress ToProgress(const v1::Progress& proto);

// All but the image.
void ToProto(const JobResult& result, v1::ProtectionResult* proto);
// The inverse, of what was made by it.
JobResult ToJobResult(const v1::ProtectionResult& proto);

}  // namespace antidiffusion
