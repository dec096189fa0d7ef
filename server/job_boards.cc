#include "server/job_boards.h"

#include <algorithm>
#include <utility>

namespace antidiffusion {

void JobBoards::Add(std::shared_ptr<Job> job) {
  MutexLock lock(mutex_);
  Entry& entry = jobs_[job->name()];
  entry.callers = 1;
  entry.detached = job->request().detached;
  entry.stored = false;
  entry.job = std::move(job);
}

void JobBoards::Accepted(const Job& job) {
  MutexLock lock(mutex_);
  const auto found = jobs_.find(job.name());
  if (found != jobs_.end()) found->second.stored = true;
}

void JobBoards::Remove(const Job& job) {
  MutexLock lock(mutex_);
  const auto found = jobs_.find(job.name());
  if (found == jobs_.end()) return;
  --found->second.callers;
  Drop(job.name());
}

std::shared_ptr<Job> JobBoards::Attach(std::shared_ptr<Job> job, bool detached, int64_t joined) {
  MutexLock lock(mutex_);
  Entry& entry = jobs_[job->name()];
  if (entry.job == nullptr) entry.job = std::move(job);
  ++entry.callers;
  entry.stored = true;
  entry.detached = entry.detached || detached;
  entry.joined = std::max(entry.joined, joined);
  return entry.job;
}

std::shared_ptr<Job> JobBoards::Run(std::shared_ptr<Job> job) {
  MutexLock lock(mutex_);
  Entry& entry = jobs_[job->name()];
  if (entry.job == nullptr) {
    entry.detached = job->request().detached;
    entry.job = std::move(job);
  }
  ++entry.runs;
  entry.stored = true;
  return entry.job;
}

void JobBoards::Done(const Job& job) {
  MutexLock lock(mutex_);
  const auto found = jobs_.find(job.name());
  if (found == jobs_.end()) return;
  --found->second.runs;
  Drop(job.name());
}

JobBoards::Leaving JobBoards::Leave(const Job& job) {
  MutexLock lock(mutex_);
  const auto found = jobs_.find(job.name());
  if (found == jobs_.end()) return {};
  Entry& entry = found->second;
  --entry.callers;
  if (entry.callers > 0) return {};
  Leaving leaving = {Left::kOthersStay, entry.joined};
  if (entry.job->Snapshot().ended.has_value()) {
    leaving.left = Left::kRead;
  } else if (!entry.detached) {
    leaving.left = Left::kAbandoned;
  }
  Drop(job.name());
  return leaving;
}

void JobBoards::Drop(const std::string& name) {
  const auto found = jobs_.find(name);
  if (found->second.callers <= 0 && found->second.runs <= 0) jobs_.erase(found);
}

std::shared_ptr<Job> JobBoards::Find(const std::string& name) const {
  MutexLock lock(mutex_);
  const auto found = jobs_.find(name);
  return found == jobs_.end() ? nullptr : found->second.job;
}

std::shared_ptr<Job> JobBoards::FindFollowed(const std::string& name) const {
  MutexLock lock(mutex_);
  const auto found = jobs_.find(name);
  return found == jobs_.end() || !found->second.is_followed() ? nullptr : found->second.job;
}

template <typename Wanted>
std::vector<std::shared_ptr<Job>> JobBoards::Those(const Wanted& wanted) const {
  std::vector<std::shared_ptr<Job>> jobs;
  MutexLock lock(mutex_);
  for (const auto& [name, entry] : jobs_) {
    if (wanted(entry)) jobs.push_back(entry.job);
  }
  return jobs;
}

std::vector<std::shared_ptr<Job>> JobBoards::followed() const {
  return Those([](const Entry& entry) {
    return entry.is_followed() && !entry.job->Snapshot().ended.has_value();
  });
}

std::vector<std::shared_ptr<Job>> JobBoards::running() const {
  return Those([](const Entry& entry) { return entry.runs > 0; });
}

std::vector<std::shared_ptr<Job>> JobBoards::bound() const {
  return Those([](const Entry& entry) {
    return entry.callers > 0 && !entry.detached && !entry.job->Snapshot().ended.has_value();
  });
}

}  // namespace antidiffusion
