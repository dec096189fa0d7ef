#include "server/job_runs.h"

#include <algorithm>
#include <utility>

#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "server/errors.h"
#include "server/job_record.h"

namespace antidiffusion {
namespace {

constexpr absl::Duration kFirstInsistPause = absl::Milliseconds(50);
constexpr absl::Duration kMaxInsistPause = absl::Seconds(1);

}  // namespace

std::optional<RunningJob> JobRuns::Begin(ClaimedJob claimed) {
  absl::StatusOr<JobRequest> request = RequestOf(claimed);
  const absl::Status readable = request.status();
  if (!readable.ok()) request.emplace();
  const absl::Time deadline = OnClock(claimed.deadline, claimed.now, with_.now());
  const auto expected = with_.eta.Expected(claimed.model, request->options);
  const auto made = std::make_shared<Job>(
      *std::move(request), JobIdentity{claimed.name, claimed.created, claimed.image_bytes},
      deadline, expected, with_.now);
  made->SetQueued({});  // the first that a later reader hears names the job
  RunningJob running = {with_.boards.Run(made), std::move(claimed)};
  const ClaimedJob& claim = running.claim;
  running.job->Claim({.attempts = static_cast<int>(claim.attempts),
                      .sequence = static_cast<uint64_t>(claim.sequence),
                      .deadline = deadline});
  with_.leases.Hold(running.job, claim.attempt);
  if (!readable.ok()) {
    End(running, readable, 0);
    return std::nullopt;
  }
  absl::StatusOr<std::string> image = with_.database.GetBlob(claim.image_digest);
  if (!image.ok()) {
    const absl::Status& why = image.status();
    with_.accounts.Failed("image not readable", claim.name, why).IgnoreError();
    if (absl::IsUnavailable(why)) {
      Release(running, why);
    } else {
      End(running, absl::DataLossError("the stored image of the job cannot be read"), 0);
    }
    return std::nullopt;
  }
  running.job->SetImage(std::make_shared<const std::string>(*std::move(image)));
  return running;
}

bool JobRuns::IsHandedBack(const RunningJob& running, const absl::Status& status) const {
  const bool kept = running.claim.holder.empty() || !running.claim.request_id.empty();
  return durable_ && kept && ReasonOf(status) == reason::kShutdown;
}

void JobRuns::End(const RunningJob& running, absl::StatusOr<JobResult> result, double seconds) {
  const ClaimedJob& claim = running.claim;
  const absl::Status status = result.status();
  if (IsHandedBack(running, status)) {
    Release(running, status);
    return;
  }
  absl::StatusOr<bool> held = false;
  if (with_.leases.BeginEnd(claim.name, claim.attempt)) {
    const std::string digest = result.ok() ? Sha256Hex(result->image) : "";
    JobEnd end = result.ok() ? ToJobEnd(*result, digest) : ToJobEnd(status);
    end.cost = seconds;
    end.answers_equals = with_.cache_key(running.job->request()) == claim.cache_key;
    const absl::Time start = with_.now();
    held = Insist("end not stored", claim.name, [&]() -> absl::StatusOr<bool> {
      if (result.ok()) AD_RETURN_IF_ERROR(with_.database.PutBlob(digest, result->image));
      return with_.database.Finish(claim.name, claim.attempt, end);
    });
    with_.metrics.StoreWriteTook(absl::ToDoubleSeconds(with_.now() - start));
  }
  with_.leases.Drop(claim.name, claim.attempt);
  if (held.ok() && *held) {
    with_.accounts.Ended(*running.job, status);
    if (result.ok()) {
      running.job->Succeed(*std::move(result));
    } else {
      running.job->Fail(status);
    }
  } else {
    with_.metrics.EndRefused();
    with_.log.Warning("an end came too late, and is thrown away",
                      {{"job", claim.name}, {"attempt", claim.attempt}});
    if (!held.ok()) running.job->Fail(HandedBackError());
  }
  with_.boards.Done(*running.job);
}

absl::StatusOr<bool> JobRuns::Insist(const std::string& what, const std::string& job,
                                     const std::function<absl::StatusOr<bool>()>& verb) {
  absl::Duration pause = kFirstInsistPause;
  while (true) {
    absl::StatusOr<bool> answer = verb();
    // Its blob went between the two: once more.
    if (answer.ok()) return answer;
    if (!absl::IsFailedPrecondition(answer.status())) {
      with_.accounts.Failed(what, job, answer.status()).IgnoreError();
    }
    MutexLock lock(mutex_);
    if (given_up_) return absl::UnavailableError("given up");
    given_up_changed_.WaitFor(lock, pause);
    pause = std::min(2 * pause, kMaxInsistPause);
  }
}

void JobRuns::Release(const RunningJob& running, const absl::Status& why) {
  const ClaimedJob& claim = running.claim;
  GiveBack(claim, /*lost=*/false);
  with_.leases.Drop(claim.name, claim.attempt);
  if (ReasonOf(why) == reason::kShutdown) {
    running.job->Fail(HandedBackError());
  } else {
    running.job->Restart();
  }
  with_.boards.Done(*running.job);
}

bool JobRuns::TryAgain(const RunningJob& running) {
  const ClaimedJob& claim = running.claim;
  if (claim.losses + 1 >= kMostLosses) return false;
  with_.leases.Drop(claim.name, claim.attempt);
  running.job->Restart();
  with_.boards.Done(*running.job);  // whoever claims it next, perhaps at once, begins it anew
  GiveBack(claim, /*lost=*/true);
  return true;
}

void JobRuns::GiveBack(const ClaimedJob& claim, bool lost) {
  std::vector<EndedJob> ended;
  Insist("job not given back", claim.name, [&] {
    return with_.database.Release(claim.name, claim.attempt, lost, &ended);
  }).IgnoreError();
  with_.accounts.Ended(ended);
}

void JobRuns::GiveUp() {
  MutexLock lock(mutex_);
  given_up_ = true;
  given_up_changed_.NotifyAll();
}

}  // namespace antidiffusion
