#include "server/job_record.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "antidiffusion/v1/protection.pb.h"
#include "core/base/status_macros.h"
#include "server/errors.h"
#include "server/proto_conversion.h"
#include "server/request_conversion.h"
#include "server/status_conversion.h"

namespace antidiffusion {
namespace {

JobPhase PhaseOf(const absl::Status& status) {
  return static_cast<JobPhase>(static_cast<int>(EndStateOf(status)));
}

absl::StatusOr<JobRequest> ReadRequest(const std::string& name, const std::string& body) {
  v1::ProtectRequest proto;
  if (!proto.ParseFromString(body)) {
    return absl::DataLossError(absl::StrCat("the request of job ", name, " is not readable"));
  }
  AD_ASSIGN_OR_RETURN(JobRequest request, ToJobRequest(proto));
  request.body = body;
  return request;
}

// What a row and a claim have in common.
template <typename Row>
void AddFacts(const Row& row, JobRequest& request) {
  request.model = row.model;
  request.tenant = row.tenant;
  request.request_id = row.request_id;
  request.priority = static_cast<JobPriority>(row.job_class);
  request.trace = TraceOfText(row.trace);
  request.detached = row.holder.empty();
  request.image_digest = row.image_digest;
  request.cache_key = row.cache_key;
}

template <typename Row>
absl::StatusOr<JobRequest> ToRequest(const Row& row) {
  AD_ASSIGN_OR_RETURN(JobRequest request, ReadRequest(row.name, row.request));
  AddFacts(row, request);
  return request;
}

std::shared_ptr<const JobResult> ResultOf(const StoredJobRow& row) {
  v1::ProtectionResult proto;
  if (row.phase != JobPhase::kSucceeded || !proto.ParseFromString(row.result)) return nullptr;
  auto result = std::make_shared<JobResult>(ToJobResult(proto));
  result->image_digest = row.result_digest;
  result->image_bytes = row.result_bytes;
  return result;
}

void ReadProgress(const std::string& stored, const std::string& model, JobNews& news) {
  const std::pair<std::string, std::string> parts =
      absl::StrSplit(stored, absl::MaxSplits('\n', 1));
  if (parts.first.empty()) return;
  news.running = RunningEvent{model, parts.first};
  v1::Progress proto;
  if (parts.second.empty() || !proto.ParseFromString(parts.second)) return;
  news.progress = ToProgress(proto);
}

}  // namespace

NewJob ToNewJob(const Job& job) {
  const JobRequest& request = job.request();
  NewJob made;
  made.name = job.name();
  made.tenant = request.tenant;
  made.request_id = request.request_id;
  made.request = request.body;
  made.request_hash = request.body_hash;
  made.cache_key = request.cache_key;
  made.model = request.model;
  made.also = request.options.also;
  made.job_class = static_cast<int>(request.priority.value_or(JobPriority::kInteractive));
  made.image_digest = request.image_digest;
  made.image_bytes = job.bytes();
  made.trace = ToText(request.trace);
  return made;
}

absl::StatusOr<JobRequest> RequestOf(const ClaimedJob& claimed) { return ToRequest(claimed); }
absl::StatusOr<JobRequest> RequestOf(const StoredJobRow& row) { return ToRequest(row); }

std::shared_ptr<Job> JobOf(const StoredJobRow& row, const EtaEstimator& eta,
                           const Job::Clock& now) {
  absl::StatusOr<JobRequest> request = RequestOf(row);
  if (!request.ok()) {
    request.emplace();
    AddFacts(row, *request);
  }
  const auto expected = eta.Expected(row.model, request->options);
  auto job = std::make_shared<Job>(*std::move(request),
                                   JobIdentity{row.name, row.created, row.image_bytes},
                                   OnClock(row.deadline, row.now, now()), expected, now);
  if (!HasEnded(row.phase)) job->SetQueued({});  // the first that a reader hears names the job
  job->Follow(NewsOf(row));
  return job;
}

JobNews NewsOf(const StoredJobRow& row) {
  JobNews news;
  news.state = static_cast<JobState>(static_cast<int>(row.phase));
  news.attempts = static_cast<int>(row.attempts);
  news.sequence = static_cast<uint64_t>(row.sequence);
  if (row.started != absl::InfinitePast()) news.started = row.started;
  if (row.phase == JobPhase::kRunning) ReadProgress(row.progress, row.model, news);
  if (!HasEnded(row.phase)) return news;
  news.ended = row.ended;
  if (row.phase != JobPhase::kSucceeded) {
    news.status = ErrorOf(row.error);
    return news;
  }
  news.result = ResultOf(row);
  if (news.result == nullptr)
    news.status = absl::DataLossError("the stored result is not readable");
  return news;
}

std::string ToStoredProgress(const Job& job) {
  const std::optional<RunningEvent> running = job.running();
  if (!running.has_value()) return "";
  v1::Progress proto;
  ToProto(job.Snapshot().progress, &proto);
  return absl::StrCat(running->device, "\n", proto.SerializeAsString());
}

JobEnd ToJobEnd(const absl::Status& status) {
  JobEnd end;
  end.phase = PhaseOf(status);
  end.error = ToStoredError(status);
  end.frees_request_id = FreesRequestId(status);
  return end;
}

JobEnd ToJobEnd(const JobResult& result, const std::string& digest) {
  v1::ProtectionResult proto;
  ToProto(result, &proto);
  JobEnd end;
  end.result = proto.SerializeAsString();
  end.result_digest = digest;
  end.result_bytes = result.bytes();
  return end;
}

std::string ToStoredError(const absl::Status& status) {
  return ToRichStatus(status).SerializeAsString();
}

absl::Status ErrorOf(const std::string& stored) {
  google::rpc::Status error;
  if (error.ParseFromString(stored) && error.code() != 0) return FromRichStatus(error);
  return absl::DataLossError("the stored error is not readable");
}

bool FreesRequestId(const absl::Status& status) {
  const JobState state = EndStateOf(status);
  return state == JobState::kExpired ||
         (state == JobState::kCancelled && ReasonOf(status) != reason::kJobCancelled);
}

absl::Time OnClock(absl::Time time, absl::Time now, absl::Time here) {
  return time == absl::InfiniteFuture() ? time : here + (time - now);
}

}  // namespace antidiffusion
