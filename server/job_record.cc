#include "server/job_record.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "antidiffusion/v1/protection.pb.h"
#include "core/base/status_macros.h"
#include "server/proto_conversion.h"
#include "server/request_conversion.h"
#include "server/status_conversion.h"

namespace antidiffusion {
namespace {

// More events than a life of a server gives one job.
constexpr uint64_t kSequencesOfALife = uint64_t{1} << 32;

StoredJob ToRow(const Job& job) {
  const JobRequest& request = job.request();
  StoredJob row;
  row.name = job.name();
  row.tenant = request.tenant;
  row.request_id = request.request_id;
  row.request = request.body;
  row.request_hash = request.body_hash;
  row.cache_key = request.cache_key;
  row.image_digest = request.image_digest;
  row.image_bytes = job.bytes();
  row.priority = static_cast<int>(request.priority.value_or(JobPriority::kInteractive));
  row.trace = ToText(request.trace);
  row.created = job.admitted();
  row.deadline = job.deadline();
  return row;
}

void PutResult(const JobResult& result, const std::string& digest, StoredJob& row) {
  v1::ProtectionResult proto;
  JobResult facts = result;
  facts.image.clear();
  ToProto(facts, &proto);
  row.result = proto.SerializeAsString();
  row.result_digest = digest;
  row.result_bytes = result.bytes();
}

}  // namespace

StoredJob ToStored(const Job& job, const JobSnapshot& now, absl::Time expires,
                   const std::string& result_digest) {
  StoredJob row = ToRow(job);
  row.state = static_cast<int>(now.state);
  row.attempts = now.attempts;
  row.sequence = now.sequence;
  row.started = now.started.value_or(absl::InfinitePast());
  if (!now.ended.has_value()) return row;
  row.image_digest.clear();
  row.ended = *now.ended;
  row.expires = expires;
  if (!now.status.ok()) row.error = ToRichStatus(now.status).SerializeAsString();
  if (now.result != nullptr) PutResult(*now.result, result_digest, row);
  return row;
}

StoredJob ToStoredWaiting(const Job& job, const JobSnapshot& now) {
  StoredJob row = ToRow(job);
  row.state = static_cast<int>(JobState::kQueued);
  row.sequence = now.sequence;
  row.attempts = now.attempts - (now.started.has_value() ? 1 : 0);
  return row;
}

absl::StatusOr<JobRequest> RequestOf(const StoredJob& row) {
  v1::ProtectRequest proto;
  if (!proto.ParseFromString(row.request)) {
    return absl::DataLossError(absl::StrCat("the request of job ", row.name, " is not readable"));
  }
  AD_ASSIGN_OR_RETURN(JobRequest request, ToJobRequest(proto));
  request.tenant = row.tenant;
  request.request_id = row.request_id;
  request.priority = static_cast<JobPriority>(row.priority);
  request.trace = TraceOfText(row.trace);
  request.detached = true;
  request.body = row.request;
  request.body_hash = row.request_hash;
  request.image_digest = row.image_digest;
  // One that has not ended may be run with other weights than it was admitted for.
  if (HasEnded(row)) request.cache_key = row.cache_key;
  return request;
}

JobPast PastOf(const StoredJob& row) {
  JobPast past;
  past.name = row.name;
  past.admitted = row.created;
  past.attempts = row.attempts;
  if (!HasEnded(row)) {
    past.sequence = (row.sequence / kSequencesOfALife + 1) * kSequencesOfALife;
    return past;
  }
  past.sequence = row.sequence;
  if (row.started != absl::InfinitePast()) past.started = row.started;
  past.ended = row.ended;
  google::rpc::Status error;
  if (!row.error.empty() && error.ParseFromString(row.error)) past.status = FromRichStatus(error);
  v1::ProtectionResult proto;
  if (row.result.empty() || !proto.ParseFromString(row.result)) return past;
  auto result = std::make_shared<JobResult>(ToJobResult(proto));
  result->image_digest = row.result_digest;
  result->image_bytes = row.result_bytes;
  past.result = std::move(result);
  return past;
}

bool HasEnded(const StoredJob& row) { return row.ended != absl::InfinitePast(); }

bool WasRunning(const StoredJob& row) { return row.state == static_cast<int>(JobState::kRunning); }

}  // namespace antidiffusion
