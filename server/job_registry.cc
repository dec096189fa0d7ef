#include "server/job_registry.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "core/base/utf8.h"
#include "server/errors.h"

namespace antidiffusion {
namespace {

constexpr size_t kMaxEcho = 200;  // bytes of a token told back

// Opaque to callers: the place of the last job of a page.
std::string TokenOf(absl::Time created, const std::string& name) {
  return absl::StrCat(absl::ToUnixNanos(created), "-", name);
}

absl::StatusOr<std::pair<absl::Time, std::string>> PlaceOf(const std::string& token) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(token, absl::MaxSplits('-', 1));
  int64_t nanoseconds = 0;
  if (!absl::SimpleAtoi(parts.first, &nanoseconds) || parts.second.empty()) {
    return InvalidField("page_token", TruncateUtf8(token, kMaxEcho),
                        "next_page_token of the response before");
  }
  return std::make_pair(absl::FromUnixNanos(nanoseconds), parts.second);
}

// Whether a retry shall begin anew rather than hear of this end: nobody decided on it, and no work
// would be done twice.
bool FreesRequestId(const absl::Status& status) {
  const JobState state = EndStateOf(status);
  return state == JobState::kExpired ||
         (state == JobState::kCancelled && ReasonOf(status) != reason::kJobCancelled);
}

}  // namespace

absl::StatusOr<JobRegistry::Entry*> JobRegistry::LookupRequest(const JobRequest& request,
                                                               absl::Time now) {
  if (request.request_id.empty()) return nullptr;
  const auto found = by_request_.find({request.tenant, request.request_id});
  if (found == by_request_.end()) return nullptr;
  Entry& entry = jobs_.at(found->second);
  if (now - entry.job->admitted() >= Limits::kRequestIdLife) {
    by_request_.erase(found);
    return nullptr;
  }
  if (entry.job->request().body_hash != request.body_hash) {
    return RequestIdReusedError(request.request_id);
  }
  entry.detached = entry.detached || request.detached;
  ++entry.callers;
  return &entry;
}

absl::StatusOr<std::shared_ptr<Job>> JobRegistry::Join(const JobRequest& request, absl::Time now) {
  MutexLock lock(mutex_);
  AD_ASSIGN_OR_RETURN(const Entry* entry, LookupRequest(request, now));
  return entry == nullptr ? nullptr : entry->job;
}

absl::StatusOr<std::shared_ptr<Job>> JobRegistry::AddOrJoin(std::shared_ptr<Job> job,
                                                            absl::Time now) {
  MutexLock lock(mutex_);
  AD_ASSIGN_OR_RETURN(const Entry* entry, LookupRequest(job->request(), now));
  if (entry != nullptr) return entry->job;
  const JobRequest& request = job->request();
  jobs_[job->name()] = {.job = job, .detached = request.detached, .callers = 1};
  by_tenant_[request.tenant][{job->admitted(), job->name()}] = job;
  if (!request.request_id.empty()) {
    by_request_[{request.tenant, request.request_id}] = job->name();
  }
  if (request.kept()) ++totals_.jobs;
  return job;
}

void JobRegistry::Restore(const std::shared_ptr<Job>& job, absl::Time expires) {
  const JobSnapshot past = job->Snapshot();
  MutexLock lock(mutex_);
  const JobRequest& request = job->request();
  Entry& entry = jobs_[job->name()];
  entry = {.job = job, .detached = true};
  by_tenant_[request.tenant][{job->admitted(), job->name()}] = job;
  ++totals_.jobs;
  if (!request.request_id.empty()) {
    by_request_[{request.tenant, request.request_id}] = job->name();
  }
  if (!past.ended.has_value()) return;
  entry.expires = expires;
  entry.result_bytes = past.result == nullptr ? 0 : past.result->bytes();
  FileEnded(entry, past.status);
}

void JobRegistry::FileEnded(Entry& entry, const absl::Status& status) {
  entry.ended = true;
  const JobRequest& request = entry.job->request();
  if (FreesRequestId(status)) FreeRequestId(*entry.job);
  if (!request.kept()) return;
  totals_.result_bytes += entry.result_bytes;
  by_end_[{entry.expires, entry.job->name()}] = entry.job->name();
  if (status.ok() && !request.cache_key.empty()) {
    by_result_[request.cache_key] = entry.job->name();
  }
}

JobRegistry::Entry* JobRegistry::Lookup(const std::string& tenant, const std::string& name) {
  const auto found = jobs_.find(name);
  if (found == jobs_.end() || found->second.job->request().tenant != tenant) return nullptr;
  return &found->second;
}

absl::StatusOr<std::shared_ptr<Job>> JobRegistry::Find(const std::string& tenant,
                                                       const std::string& name) const {
  MutexLock lock(mutex_);
  const auto found = jobs_.find(name);
  if (found == jobs_.end() || found->second.job->request().tenant != tenant) {
    return JobNotFoundError(name);
  }
  return found->second.job;
}

absl::StatusOr<std::shared_ptr<Job>> JobRegistry::Attach(const std::string& tenant,
                                                         const std::string& name) {
  MutexLock lock(mutex_);
  Entry* const entry = Lookup(tenant, name);
  if (entry == nullptr) return JobNotFoundError(name);
  ++entry->callers;
  return entry->job;
}

bool JobRegistry::Leave(const Job& job, bool abandon) {
  MutexLock lock(mutex_);
  const auto found = jobs_.find(job.name());
  if (found == jobs_.end()) return false;
  Entry& entry = found->second;
  --entry.callers;
  if (entry.callers > 0) return false;
  if (entry.ended) {
    if (!job.request().kept()) EraseName(job.name());
    return false;
  }
  if (!abandon || entry.detached) return false;
  FreeRequestId(job);
  return true;
}

std::shared_ptr<const JobResult> JobRegistry::FindResult(const std::string& cache_key) const {
  MutexLock lock(mutex_);
  const auto found = by_result_.find(cache_key);
  if (cache_key.empty() || found == by_result_.end()) return nullptr;
  return jobs_.at(found->second).job->Snapshot(Job::View::kJournal).result;
}

absl::StatusOr<JobRegistry::Page> JobRegistry::List(const std::string& tenant,
                                                    std::optional<JobState> state, size_t size,
                                                    const std::string& token) const {
  Page page;
  MutexLock lock(mutex_);
  const auto of_tenant = by_tenant_.find(tenant);
  std::optional<Place> before;
  if (!token.empty()) {
    AD_ASSIGN_OR_RETURN(before, PlaceOf(token));
  }
  if (of_tenant == by_tenant_.end()) return page;
  const auto& places = of_tenant->second;
  auto at = before.has_value() ? places.lower_bound(*before) : places.end();
  while (at != places.begin()) {
    --at;
    if (state.has_value() && at->second->Snapshot().state != *state) continue;
    if (page.jobs.size() == size) {
      const Job& last = *page.jobs.back();
      page.next_token = TokenOf(last.admitted(), last.name());
      break;
    }
    page.jobs.push_back(at->second);
  }
  return page;
}

absl::Time JobRegistry::Ended(const Job& job, const absl::Status& status, int64_t result_bytes,
                              absl::Time now) {
  MutexLock lock(mutex_);
  const auto found = jobs_.find(job.name());
  if (found == jobs_.end()) return now;
  Entry& entry = found->second;
  entry.expires = now + limits_.result_ttl;
  entry.result_bytes = result_bytes;
  FileEnded(entry, status);
  if (!job.request().kept() && entry.callers <= 0) {
    EraseName(job.name());
    return now;
  }
  return entry.expires;
}

absl::Time JobRegistry::ExpiryOf(const Job& job) const {
  MutexLock lock(mutex_);
  const auto found = jobs_.find(job.name());
  return found == jobs_.end() ? absl::InfiniteFuture() : found->second.expires;
}

void JobRegistry::FreeRequestId(const Job& job) {
  const auto found = by_request_.find({job.request().tenant, job.request().request_id});
  if (found != by_request_.end() && found->second == job.name()) by_request_.erase(found);
}

void JobRegistry::Erase(const Job& job) {
  MutexLock lock(mutex_);
  EraseName(job.name());
}

void JobRegistry::EraseName(const std::string& name) {
  const auto found = jobs_.find(name);
  if (found == jobs_.end()) return;
  const Entry entry = std::move(found->second);
  jobs_.erase(found);
  const Job& job = *entry.job;
  FreeRequestId(job);
  const auto of_tenant = by_tenant_.find(job.request().tenant);
  of_tenant->second.erase({job.admitted(), name});
  if (of_tenant->second.empty()) by_tenant_.erase(of_tenant);
  if (!job.request().kept()) return;
  --totals_.jobs;
  if (!entry.ended) return;
  totals_.result_bytes -= entry.result_bytes;
  by_end_.erase({entry.expires, name});
  const auto result = by_result_.find(job.request().cache_key);
  if (result != by_result_.end() && result->second == name) by_result_.erase(result);
}

std::vector<std::shared_ptr<Job>> JobRegistry::TakeExpired(absl::Time now) {
  std::vector<std::shared_ptr<Job>> expired;
  MutexLock lock(mutex_);
  while (!by_end_.empty()) {
    const auto& [place, name] = *by_end_.begin();
    const bool over =
        by_end_.size() > limits_.max_ended || totals_.result_bytes > limits_.max_result_bytes;
    if (place.first > now && !over) break;
    expired.push_back(jobs_.at(name).job);
    EraseName(std::string(name));
  }
  return expired;
}

JobRegistry::Totals JobRegistry::totals() const {
  MutexLock lock(mutex_);
  return totals_;
}

}  // namespace antidiffusion
