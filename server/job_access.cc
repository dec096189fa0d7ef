#include "server/job_access.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "core/base/utf8.h"
#include "server/errors.h"
#include "server/job_record.h"
#include "server/proto_conversion.h"

namespace antidiffusion {
namespace {

constexpr size_t kMaxEcho = 200;  // bytes of a token told back

// The number of the last job of a page; 0: from the newest on.
absl::StatusOr<int64_t> PlaceOf(const std::string& token) {
  int64_t number = 0;
  if (token.empty()) return number;
  if (absl::SimpleAtoi(token, &number) && number > 0) return number;
  return InvalidField("page_token", TruncateUtf8(token, kMaxEcho),
                      "next_page_token of the response before");
}

}  // namespace

absl::Status JobAccess::ErrorOf(const std::string& name, const absl::Status& why) {
  if (why.ok()) return why;
  if (absl::IsNotFound(why)) return JobNotFoundError(name);
  if (absl::IsFailedPrecondition(why)) return JobNotEndedError(name);
  return with_.accounts.Failed("job database failed", name, why);
}

absl::StatusOr<StoredJobRow> JobAccess::Read(const std::string& tenant, const std::string& name) {
  absl::StatusOr<StoredJobRow> row = with_.database.Get(tenant, name);
  if (row.ok()) return row;
  return ErrorOf(name, row.status());
}

absl::StatusOr<std::shared_ptr<Job>> JobAccess::Attach(const std::string& tenant,
                                                       const std::string& name) {
  AD_ASSIGN_OR_RETURN(const StoredJobRow row, Read(tenant, name));
  return AttachTo(row);
}

// The job may be on a board here that does not know of its end yet: it will soon, and numbers the
// end no lower than the row does.
absl::StatusOr<JobAccess::AttachedResult> JobAccess::AttachToResult(const std::string& tenant,
                                                                    const std::string& name,
                                                                    int64_t offset) {
  AD_ASSIGN_OR_RETURN(const StoredJobRow row, Read(tenant, name));
  const JobNews news = NewsOf(row);
  if (news.result == nullptr) {
    if (row.phase == JobPhase::kSucceeded) return news.status;
    return NoResultError(name, v1::Job::State_Name(ToProto(news.state)));
  }
  const int64_t size = news.result->bytes();
  if (offset < 0 || offset > size) {
    return InvalidField("offset", absl::StrCat(offset), absl::StrCat("0..", size));
  }
  return AttachedResult{AttachTo(row), news.sequence - 1};
}

std::shared_ptr<Job> JobAccess::AttachTo(const StoredJobRow& row) {
  const std::shared_ptr<Job> made = JobOf(row, with_.eta, with_.now);
  std::shared_ptr<Job> job = with_.boards.Attach(made, row.holder.empty(), row.joined);
  if (HasEnded(row.phase)) return job;
  if (row.phase == JobPhase::kQueued) job->SetQueued(with_.outlook.PlaceOf(*job));
  with_.follower.Look(row.name);  // for what has changed since it was read
  return job;
}

void JobAccess::Refresh(Job& job) {
  const absl::StatusOr<StoredJobRow> row = with_.database.Get(job.request().tenant, job.name());
  if (row.ok()) job.Follow(NewsOf(*row));
}

void JobAccess::Leave(const Job& job, const std::optional<absl::Status>& why) {
  const auto [left, joined] = with_.boards.Leave(job);
  const bool has_result = job.Snapshot().result != nullptr;
  const bool kept = job.request().kept();
  if (kept && has_result && !why.has_value()) {
    with_.threads.PostAlways(
        [this, name = job.name()] { with_.database.MarkRead(name).IgnoreError(); });
  }
  if (left == JobBoards::Left::kOthersStay) return;
  if (left == JobBoards::Left::kAbandoned) {
    with_.threads.PostAlways([this, name = job.name(), joined = joined, request = job.request(),
                              admitted = job.admitted(), reason = why.value_or(CallerGoneError())] {
      const Job gone(request, JobIdentity{name, admitted, 0}, absl::InfiniteFuture(), std::nullopt,
                     with_.now);
      Abandon(gone, joined, reason);
    });
    return;
  }
  if (kept) return;
  with_.threads.PostAlways([this, name = job.name(), tenant = job.request().tenant] {
    // What other processes want, too, they may still read; it expires.
    with_.database.Delete(tenant, name, process_).IgnoreError();
  });
}

void JobAccess::Abandon(const Job& job, int64_t joined, const absl::Status& why) {
  const absl::StatusOr<bool> ended =
      with_.database.Abandon(job.name(), process_, joined, ReasonOf(why), ToStoredError(why));
  if (!ended.ok()) {
    with_.accounts.Failed("job not cancelled", job.name(), ended.status()).IgnoreError();
  } else if (*ended) {
    with_.accounts.Ended(job, why);
    if (!job.request().kept())
      with_.database.Delete(job.request().tenant, job.name()).IgnoreError();
  }  // else it runs, and whoever holds its lease is told; or others want it
}

v1::Job JobAccess::Describe(const StoredJobRow& row, bool with_result) const {
  const std::shared_ptr<Job> stored = JobOf(row, with_.eta, with_.now);
  JobSnapshot now = stored->Snapshot();
  now.state = static_cast<JobState>(static_cast<int>(row.phase));
  now.sequence = static_cast<uint64_t>(row.sequence);
  if (row.started != absl::InfinitePast()) now.started = row.started;
  if (row.phase == JobPhase::kQueued) now.queued = with_.outlook.PlaceOf(*stored);
  if (row.phase == JobPhase::kRunning) {
    const std::shared_ptr<Job> live = with_.boards.Find(row.name);
    if (live != nullptr) now.progress = live->Snapshot().progress;
  }
  return ToProto(*stored, now, row.expires, with_result);
}

absl::StatusOr<v1::Job> JobAccess::Get(const std::string& tenant, const std::string& name,
                                       bool with_result) {
  AD_ASSIGN_OR_RETURN(const StoredJobRow row, Read(tenant, name));
  return Describe(row, with_result);
}

absl::StatusOr<v1::ListJobsResponse> JobAccess::List(const std::string& tenant,
                                                     std::optional<JobState> state, int size,
                                                     const std::string& token) {
  AD_ASSIGN_OR_RETURN(const int64_t before, PlaceOf(token));
  std::optional<JobPhase> phase;
  if (state.has_value()) phase = static_cast<JobPhase>(static_cast<int>(*state));
  const absl::StatusOr<JobPage> page = with_.database.List(tenant, phase, size, before);
  if (!page.ok()) return ErrorOf("", page.status());
  v1::ListJobsResponse response;
  for (const StoredJobRow& row : page->jobs) *response.add_jobs() = Describe(row);
  if (page->next != 0) response.set_next_page_token(absl::StrCat(page->next));
  return response;
}

absl::StatusOr<v1::Job> JobAccess::Cancel(const std::string& tenant, const std::string& name) {
  const absl::Status why = JobCancelledError();
  // First: it may be deleted as soon as it has ended.
  AD_ASSIGN_OR_RETURN(const StoredJobRow before, Read(tenant, name));
  const absl::StatusOr<bool> ended =
      with_.database.Cancel(tenant, name, ReasonOf(why), ToStoredError(why));
  if (!ended.ok()) return ErrorOf(name, ended.status());
  if (*ended) with_.accounts.Ended(*JobOf(before, with_.eta, with_.now), why);
  AD_ASSIGN_OR_RETURN(const StoredJobRow row, Read(tenant, name));
  if (*ended) return Describe(row);
  if (const std::shared_ptr<Job> running = with_.boards.Find(name)) {
    running->Cancel(why);
  }
  return Describe(row);
}

absl::Status JobAccess::Delete(const std::string& tenant, const std::string& name) {
  return ErrorOf(name, with_.database.Delete(tenant, name));
}

void JobAccess::ReadImage(const std::string& job, const StoredPiece& piece, const ImageRead& then) {
  with_.threads.PostAlways([this, job, piece, then] {
    absl::StatusOr<std::string> bytes = with_.database.GetBlobPiece(piece);
    if (bytes.ok() && bytes->empty()) {
      bytes = absl::DataLossError(absl::StrCat("the stored result of job ", job, " is cut off"));
    }
    if (bytes.ok()) {
      then(std::move(bytes));
    } else {
      then(ErrorOf(job, bytes.status()));
    }
  });
}

}  // namespace antidiffusion
