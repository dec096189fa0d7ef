#include "server/job_accounts.h"

#include <utility>

#include "server/errors.h"
#include "server/job_record.h"
#include "server/job_trace.h"

namespace antidiffusion {
namespace {

JobOutcome OutcomeOf(const absl::Status& status) {
  switch (EndStateOf(status)) {
    case JobState::kSucceeded:
      return JobOutcome::kSucceeded;
    case JobState::kExpired:
      return JobOutcome::kExpired;
    case JobState::kCancelled:
      return JobOutcome::kCancelled;
    default:
      return JobOutcome::kFailed;
  }
}

Job JobOf(const EndedJob& ended, const Job::Clock& now) {
  JobRequest request;
  request.model = ended.model;
  request.tenant = ended.tenant;
  request.request_id = ended.request_id;
  request.trace = TraceOfText(ended.trace);
  return {std::move(request), JobIdentity{ended.name, ended.created, 0}, absl::InfiniteFuture(),
          std::nullopt, now};
}

}  // namespace

void JobAccounts::Accepted(const Job& job, const AcceptAnswer& answer) {
  with_.metrics.JobCounted(job.request(), JobOutcome::kAccepted, "");
  TraceAdmission(with_.tracer, job, with_.now());
  if (answer.evicted == 0) return;
  with_.metrics.ResultsEvicted(answer.evicted);
  with_.log.Info("results that were read made room",
                 {{"tenant", job.request().tenant}, {"results", answer.evicted}});
}

void JobAccounts::Ended(const Job& job, const absl::Status& status) {
  with_.metrics.JobCounted(job.request(), OutcomeOf(status), ReasonOf(status));
  TraceEnd(with_.tracer, job, OutcomeOf(status), status, with_.now());
  LogEnd(job, status);
}

void JobAccounts::Ended(const std::vector<EndedJob>& jobs) {
  for (const EndedJob& ended : jobs) Ended(JobOf(ended, with_.now), ErrorOf(ended.error));
}

void JobAccounts::Count(const std::vector<OpenJobs>& jobs, JobOutcome outcome) {
  for (const OpenJobs& open : jobs) {
    JobRequest request;
    request.model = open.model;
    request.tenant = open.tenant;
    for (int64_t i = 0; i < open.count; ++i) with_.metrics.JobCounted(request, outcome, "");
  }
}

absl::Status JobAccounts::Failed(const std::string& what, const std::string& job,
                                 const absl::Status& why) {
  with_.metrics.StoreFailed();
  with_.log.Error(what, {{"job", job}, {"error", TextOf(why)}});
  // What is broken stays broken: no word of a retry.
  return absl::IsDataLoss(why) ? why : StoreFailedError(why);
}

void JobAccounts::LogEnd(const Job& job, const absl::Status& status) const {
  const JobRequest& request = job.request();
  const double seconds = absl::ToDoubleSeconds(with_.now() - job.admitted());
  if (status.ok()) {
    with_.log.Info("job finished", {{"job", job.name()},
                                    {"tenant", request.tenant},
                                    {"trace_id", request.trace.id()},
                                    {"model", request.model},
                                    {"seconds", seconds}});
    return;
  }
  with_.log.Info("job ended without a result", {{"job", job.name()},
                                                {"request_id", request.request_id},
                                                {"tenant", request.tenant},
                                                {"trace_id", request.trace.id()},
                                                {"model", request.model},
                                                {"seconds", seconds},
                                                {"reason", ReasonOf(status)},
                                                {"error", TextOf(status)}});
}

}  // namespace antidiffusion
