#include "server/housekeeping.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "core/base/status_macros.h"
#include "server/errors.h"
#include "server/job_acceptance.h"
#include "server/job_record.h"

namespace antidiffusion {
namespace {

constexpr absl::Duration kRound = absl::Seconds(1);
constexpr int kSeldom = 10;  // rounds
constexpr absl::Duration kLifeSign = absl::Seconds(60);

ReapErrors Errors() {
  return {.lost_twice = ToStoredError(ServerLostTwiceError()),
          .expired = ToStoredError(DeadlinePassedError("queue")),
          .abandoned = ToStoredError(CallerGoneError()),
          .why_abandoned = ReasonOf(CallerGoneError())};
}

}  // namespace

void Housekeeping::Start() {
  thread_ = std::jthread([this] { Main(); });
}

void Housekeeping::Stop() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void Housekeeping::Main() {
  bool tell = true;
  for (int round = 0;; ++round) {
    {
      MutexLock lock(round_mutex_);
      Report(Round(tell || is_away_ || round % kSeldom == 0));
    }
    const absl::Time next = absl::Now() + kRound;
    MutexLock lock(mutex_);
    while (!stopped_ && !tell_ && absl::Now() < next) changed_.WaitFor(lock, next - absl::Now());
    if (stopped_) return;
    tell = std::exchange(tell_, false);
  }
}

void Housekeeping::TellSoon() {
  MutexLock lock(mutex_);
  tell_ = true;
  changed_.NotifyAll();
}

void Housekeeping::Run() {
  MutexLock lock(round_mutex_);
  Report(Round(/*with_seldom=*/true));
}

absl::Status Housekeeping::Round(bool with_seldom) {
  if (with_seldom) AD_RETURN_IF_ERROR(TellOfSelf());
  // While the database was away leases and wishes ran out that their owners could not renew: they
  // have until the next round.
  if (is_away_) return with_.database.Figures().status();
  AD_ASSIGN_OR_RETURN(const Reaped reaped, with_.database.Reap(Errors()));
  with_.accounts.Ended(reaped.ended);
  with_.show_figures();
  if (with_.on_workers) {
    AD_ASSIGN_OR_RETURN(const std::vector<WorkerNote> workers, with_.database.Workers());
    with_.on_workers(workers);
  }
  if (reaped.requeued == 0) return absl::OkStatus();
  with_.metrics.JobsRequeued(reaped.requeued);
  with_.log.Warning("jobs lost their server and wait again", {{"jobs", reaped.requeued}});
  return absl::OkStatus();
}

absl::Status Housekeeping::TellOfSelf() {
  std::vector<std::string> wanted;
  for (const std::shared_ptr<Job>& job : with_.boards.bound()) {
    if (!job->request().kept()) wanted.push_back(job->name());
  }
  AD_RETURN_IF_ERROR(with_.database.Want(wanted, process_, JobAcceptance::kUnwanted));
  const WorkerNote note = with_.note();
  if (note.capacity == 0 && !announced_) return absl::OkStatus();
  announced_ = true;
  return with_.database.Announce(note, note.capacity > 0 ? kLifeSign : absl::ZeroDuration());
}

void Housekeeping::Report(const absl::Status& status) {
  const bool was_away = std::exchange(is_away_, !status.ok());
  if (!status.ok()) with_.metrics.StoreFailed();
  if (!status.ok() && !was_away) {
    with_.log.Error("the job database is away", {{"error", TextOf(status)}});
  } else if (status.ok() && was_away) {
    with_.log.Info("the job database is back");
  }
}

}  // namespace antidiffusion
