#include "server/job_follower.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "server/errors.h"
#include "server/job_record.h"

namespace antidiffusion {
namespace {

constexpr absl::Duration kFollowPoll = absl::Seconds(1);
constexpr absl::Duration kPlaces = absl::Milliseconds(100);  // places are told at most so often

}  // namespace

JobFollower::JobFollower(JobDatabase& database, JobBoards& boards, const QueueOutlook& outlook)
    : database_(database), boards_(boards), outlook_(outlook) {
  subscription_ = database_.signals().Subscribe([this](const JobSignal& signal) {
    MutexLock lock(mutex_);
    const bool is_progress =
        signal.phase == JobPhase::kRunning && signal.sequence % kSequenceSpan != 0;
    places_ = places_ || !is_progress;  // which moves none
    all_ = all_ || signal.job.empty();
    jobs_.insert(signal.job);
    news_.NotifyAll();
  });
  thread_ = std::jthread([this] { Main(); });
}

JobFollower::~JobFollower() {
  database_.signals().Unsubscribe(subscription_);
  MutexLock lock(mutex_);
  stopped_ = true;
  news_.NotifyAll();
}

void JobFollower::HandBackKept() {
  MutexLock lock(mutex_);
  hands_back_ = true;
  all_ = true;
  news_.NotifyAll();
}

void JobFollower::Look(const std::string& job) {
  MutexLock lock(mutex_);
  jobs_.insert(job);
  news_.NotifyAll();
}

void JobFollower::Main() {
  absl::Time next_poll = absl::Now();
  absl::Time next_places = absl::Now();
  while (true) {
    std::set<std::string> jobs;
    bool all = false;
    bool places = false;
    bool hands_back = false;
    {
      MutexLock lock(mutex_);
      const absl::Time until = places_ ? std::min(next_poll, next_places) : next_poll;
      while (!stopped_ && jobs_.empty() && !all_ && absl::Now() < until) {
        news_.WaitFor(lock, until - absl::Now());
      }
      if (stopped_) return;
      hands_back = hands_back_;
      jobs.swap(jobs_);
      all = std::exchange(all_, false) || absl::Now() >= next_poll;
      places = all || (places_ && absl::Now() >= next_places);
      if (places) places_ = false;
    }
    if (all) next_poll = absl::Now() + kFollowPoll;
    if (places) next_places = absl::Now() + kPlaces;
    for (const std::string& name : jobs) {
      if (const std::shared_ptr<Job> job = boards_.FindFollowed(name)) Read(*job, hands_back);
    }
    if (!places) continue;
    for (const std::shared_ptr<Job>& job : boards_.followed()) {
      const bool waits = job->Snapshot().state == JobState::kQueued;
      if (all || waits) Read(*job, hands_back);
    }
  }
}

void JobFollower::Read(Job& job, bool hands_back) {
  const absl::StatusOr<StoredJobRow> row = database_.Get(job.request().tenant, job.name());
  if (absl::IsNotFound(row.status())) {
    job.Fail(JobNotFoundError(job.name()));
    return;
  }
  if (row.ok()) job.Follow(NewsOf(*row));
  if (hands_back && job.request().kept()) {
    job.Fail(HandedBackError());  // unless it has ended
    return;
  }
  if (!row.ok()) return;  // the next poll tries again
  if (row->phase != JobPhase::kQueued) return;
  job.SetQueued(outlook_.PlaceOf(job));
  job.Notify();
}

}  // namespace antidiffusion
