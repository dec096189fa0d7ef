#include "server/job_acceptance.h"

#include <algorithm>
#include <utility>

#include "core/base/status_macros.h"
#include "server/errors.h"
#include "server/job_record.h"

namespace antidiffusion {
namespace {

constexpr int kAcceptTries = 3;

template <typename T>
int64_t Bounded(T limit) {
  constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  return static_cast<int64_t>(std::min(static_cast<uint64_t>(limit), kMost));
}

}  // namespace

NewJob JobAcceptance::PlacedJob(const Job& job, const absl::Status& may_wait) const {
  NewJob made = ToNewJob(job);
  const bool detached = job.request().detached;
  made.cost = job.expected_seconds().value_or(QueueOutlook::kUnknownCost);
  made.holder = detached ? "" : options_.process;
  made.wanted_for = job.request().kept() ? absl::InfiniteDuration() : kUnwanted;
  made.kept_for = job.request().kept() ? options_.result_ttl : kUnwanted;
  made.time_left = job.deadline() - with_.now();
  made.may_wait = may_wait.ok();
  return made;
}

TenantLimits JobAcceptance::LimitsOf(const Tenant& tenant) const {
  const TenantShare& share = tenant.share();
  return {.weight = share.weight,
          .max_queued = Bounded(share.max_waiting),
          .max_queued_bytes = share.max_waiting_bytes,
          .max_running = Bounded(share.max_running),
          .max_results = options_.max_kept_jobs,
          .max_result_bytes = options_.max_result_bytes};
}

// The image follows only where the job is to be taken, for it is large.
absl::StatusOr<AcceptAnswer> JobAcceptance::Put(const NewJob& made, const TenantLimits& limits,
                                                const std::string& image) {
  const absl::Time start = with_.now();
  for (int i = 0;; ++i) {
    absl::StatusOr<AcceptAnswer> answer = with_.database.Accept(made, limits, options_.room);
    if (!absl::IsFailedPrecondition(answer.status()) || i == kAcceptTries) {
      if (answer.ok()) with_.metrics.StoreWriteTook(absl::ToDoubleSeconds(with_.now() - start));
      return answer;
    }
    AD_RETURN_IF_ERROR(with_.database.PutBlob(made.image_digest, image));
  }
}

absl::StatusOr<std::shared_ptr<Job>> JobAcceptance::Accept(
    const std::shared_ptr<Job>& job, const Tenant& tenant, const absl::Status& may_wait,
    const std::function<void(bool waits)>& on_taken) {
  using Kind = AcceptAnswer::Kind;
  // Before anybody can find it: who claims it tells what it does, and gives it the image again.
  const std::shared_ptr<const std::string> image = job->image();
  job->SetImage(nullptr);
  job->SetQueued({});
  with_.boards.Add(job);
  const absl::StatusOr<AcceptAnswer> answer =
      Put(PlacedJob(*job, may_wait), LimitsOf(tenant), *image);
  if (answer.ok() && (answer->kind == Kind::kAccepted || answer->kind == Kind::kAnswered)) {
    with_.boards.Accepted(*job);
    with_.follower.Look(job->name());  // for what has become of it meanwhile
    with_.accounts.Accepted(*job, *answer);
    on_taken(answer->kind == Kind::kAccepted);
    if (answer->kind == Kind::kAccepted) {
      job->SetQueued(with_.outlook.PlaceOf(*job));
      return job;
    }
    with_.metrics.ResultFromCache();
    with_.accounts.Ended(*job, absl::OkStatus());
    with_.access.Refresh(*job);
    return job;
  }
  with_.boards.Remove(*job);
  if (!answer.ok()) return with_.accounts.Failed("job not stored", job->name(), answer.status());
  if (answer->kind != Kind::kJoined) return RefusalOf(*answer, *job, may_wait);
  with_.metrics.JobJoined();
  return with_.access.Attach(job->request().tenant, answer->name);
}

void JobAcceptance::TakeBack(const Job& job) {
  const absl::Status why = ShutdownError();
  const absl::StatusOr<bool> ended =
      with_.database.Cancel(job.request().tenant, job.name(), ReasonOf(why), ToStoredError(why),
                            /*frees_request_id=*/true);
  if (ended.ok() && *ended) with_.accounts.Ended(job, why);
}

absl::Status JobAcceptance::RefusalOf(const AcceptAnswer& answer, const Job& job,
                                      const absl::Status& may_wait) const {
  using Kind = AcceptAnswer::Kind;
  const auto limit = static_cast<size_t>(answer.limit);
  switch (answer.kind) {
    case Kind::kReused:
      return RequestIdReusedError(job.request().request_id);
    case Kind::kMayNotWait:
      return may_wait;
    case Kind::kQueueFull:
      return QueueFullError(limit, with_.outlook.RetryDelay());
    case Kind::kQueueBytesFull:
      return QueueBytesFullError(answer.limit, with_.outlook.RetryDelay());
    case Kind::kTenantFull:
      return TenantQueueFullError(limit, with_.outlook.RetryDelay());
    case Kind::kTenantBytesFull:
      return TenantQueueBytesFullError(answer.limit, with_.outlook.RetryDelay());
    case Kind::kResultsFull:
      return ResultsFullError(answer.limit);
    default:
      return absl::InternalError("an acceptance without a refusal");
  }
}

}  // namespace antidiffusion
