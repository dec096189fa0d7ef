#include "server/job_ledger.h"

#include <utility>

#include "core/base/sha256.h"
#include "core/base/status_macros.h"
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

int64_t ImageBytes(const JobResult* result) { return result == nullptr ? 0 : result->bytes(); }

}  // namespace

std::shared_ptr<Job> JobLedger::MakeJob(JobRequest request, absl::Time deadline,
                                        std::optional<double> expected_seconds) {
  return std::make_shared<Job>(
      std::move(request), deadline, expected_seconds, with_.now,
      [this](Job& job, const absl::Status& status) { OnFinished(job, status); },
      [this](Job& job) { OnStarted(job); });
}

absl::StatusOr<std::shared_ptr<Job>> JobLedger::TakeIn(const std::shared_ptr<Job>& job,
                                                       const std::function<absl::Status()>& push,
                                                       const std::function<void()>& on_taken) {
  // Before anybody can find it: who joins, and a worker that pops it, wait for all that follows.
  job->stored().Close();
  AD_ASSIGN_OR_RETURN(std::shared_ptr<Job> known, registry_.AddOrJoin(job, with_.now()));
  if (known != job) {
    with_.metrics.JobJoined();
    return known;
  }
  if (const absl::Status pushed = push(); !pushed.ok()) {
    registry_.Erase(*job);
    job->Refuse(pushed);
    job->stored().Open(pushed);
    return pushed;
  }
  with_.metrics.JobCounted(job->request(), JobOutcome::kAccepted, "");
  on_taken();
  if (IsStored(*job)) {
    PostSave(job, Record::kAccepted);
  } else {
    job->stored().Open(absl::OkStatus());
  }
  return job;
}

void JobLedger::Leave(Job& job, const std::optional<absl::Status>& why) {
  if (registry_.Leave(job, why.has_value())) Cancel(job, *why);
}

void JobLedger::Cancel(Job& job, const absl::Status& why) {
  if (with_.queue.Remove(job)) {
    job.Fail(why);
  } else {
    job.Cancel(why);
  }
}

void JobLedger::CancelAll() {
  const auto why = [this](const Job& job) {
    return IsStored(job) ? HandedBackError() : ShutdownError();
  };
  const auto end_waiting = [&] {
    for (const std::shared_ptr<Job>& job : with_.queue.TakeAll()) job->Fail(why(*job));
  };
  end_waiting();
  for (const std::shared_ptr<Job>& job : with_.queue.running()) job->Cancel(why(*job));
  end_waiting();  // one whose worker was lost just now waits again
}

void JobLedger::Delete(const std::shared_ptr<Job>& job, const Done& done) {
  if (!job->Snapshot().ended.has_value()) {
    done(JobNotEndedError(job->name()));
    return;
  }
  if (!IsStored(*job)) {
    registry_.Erase(*job);
    done(absl::OkStatus());
    return;
  }
  const bool posted = store_->Post([this, job, done](JobStore& store) {
    const absl::Status deleted = store.Delete(job->name());
    if (deleted.ok()) registry_.Erase(*job);
    done(deleted.ok() ? deleted : StoreFailedError(deleted));
  });
  if (!posted) done(DrainingError());
}

void JobLedger::ReadImage(const std::string& job, const StoredPiece& piece, const ImageRead& then) {
  const bool posted = durable() && store_->Post([this, job, piece, then](JobStore& store) {
    absl::StatusOr<std::string> image = store.ReadPiece(piece);
    if (image.ok() || absl::IsNotFound(image.status())) {
      then(image.ok() ? std::move(image) : JobNotFoundError(job));
      return;
    }
    with_.metrics.StoreFailed();
    with_.log.Error("result not readable", {{"job", job}, {"error", TextOf(image.status())}});
    // What is broken stays broken: no word of a retry.
    then(absl::IsDataLoss(image.status()) ? image.status() : StoreFailedError(image.status()));
  });
  if (!posted) then(DrainingError());
}

void JobLedger::Tick(absl::Time now) {
  for (const std::shared_ptr<Job>& job : with_.queue.TakeExpired(now)) {
    job->Fail(DeadlinePassedError("queue"));
  }
  ForgetExpired(now);
  SaveUnsaved();
}

void JobLedger::SaveUnsaved() {
  std::set<std::shared_ptr<Job>> unsaved;
  {
    MutexLock lock(unsaved_mutex_);
    unsaved.swap(unsaved_);
  }
  for (const std::shared_ptr<Job>& job : unsaved) PostSave(job, Record::kState);
}

void JobLedger::ForgetExpired(absl::Time now) {
  for (const std::shared_ptr<Job>& job : registry_.TakeExpired(now)) {
    if (!durable()) continue;
    store_->Post([this, job](JobStore& store) {
      const absl::Status deleted = store.Delete(job->name());
      if (deleted.ok()) return;
      with_.metrics.StoreFailed();
      with_.log.Error("job not deleted from the store",
                      {{"job", job->name()}, {"error", TextOf(deleted)}});
    });
  }
}

void JobLedger::OnStarted(Job& job) {
  if (IsStored(job)) PostSave(job.shared_from_this(), Record::kState);
}

void JobLedger::OnFinished(Job& job, const absl::Status& status) {
  const std::string why = ReasonOf(status);
  const bool handed_back = IsStored(job) && why == reason::kShutdown;
  const JobOutcome outcome = handed_back ? JobOutcome::kHandedBack : OutcomeOf(status);
  with_.metrics.JobCounted(job.request(), outcome, handed_back ? "" : why);
  TraceEnd(with_.tracer, job, outcome, status, with_.now());
  LogEnd(job, status);
  const JobSnapshot end = job.Snapshot(Job::View::kJournal);
  registry_.Ended(job, status, ImageBytes(end.result.get()), with_.now());
  if (handed_back) ++jobs_left_;
  if (IsStored(job) && why != reason::kStoreFailed) {
    PostSave(job.shared_from_this(), handed_back ? Record::kHandedBack : Record::kState);
  }
  ForgetExpired(with_.now());
}

void JobLedger::LogEnd(const Job& job, const absl::Status& status) const {
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

void JobLedger::PostSave(const std::shared_ptr<Job>& job, Record record) {
  // The image is let go when the job ends, which may be before this is its turn.
  const bool posted = store_->Post([this, job, record, image = job->image()](JobStore& store) {
    Save(store, job, record, image.get());
  });
  if (posted || record != Record::kAccepted) return;
  RefuseUnstored(*job, DrainingError());
  job->stored().Open(DrainingError());
}

void JobLedger::Save(JobStore& store, const std::shared_ptr<Job>& job, Record record,
                     const std::string* image) {
  // Deleted, expired or refused since this was posted: it stays forgotten.
  if (record != Record::kAccepted && !registry_.Find(job->request().tenant, job->name()).ok()) {
    return;
  }
  const absl::Status saved = SaveNow(store, *job, record, image);
  if (!saved.ok()) {
    with_.metrics.StoreFailed();
    with_.log.Error("job not stored", {{"job", job->name()}, {"error", TextOf(saved)}});
  }
  if (record == Record::kAccepted) {
    if (!saved.ok()) RefuseUnstored(*job, StoreFailedError(saved));
    job->stored().Open(saved.ok() ? saved : StoreFailedError(saved));
  } else if (!saved.ok() && record == Record::kState) {
    MutexLock lock(unsaved_mutex_);
    unsaved_.insert(job);
  }
}

absl::Status JobLedger::SaveNow(JobStore& store, Job& job, Record record,
                                const std::string* image) {
  const absl::Time start = with_.now();
  const JobSnapshot now = job.Snapshot(Job::View::kJournal);
  // A record that was due before the job was handed back is as much of a waiting one: else it would
  // drop the image that the next server needs.
  const bool waits = now.ended.has_value() && ReasonOf(now.status) == reason::kShutdown;
  StoredBytes bytes;
  std::string digest;
  if (waits || !now.ended.has_value()) bytes.image = image;
  if (now.result != nullptr) {
    digest = now.result->image_digest;
    if (!now.result->image.empty()) {
      digest = Sha256Hex(now.result->image);
      bytes.result = &now.result->image;
    }
  }
  const StoredJob row =
      waits ? ToStoredWaiting(job, now) : ToStored(job, now, registry_.ExpiryOf(job), digest);
  AD_RETURN_IF_ERROR(store.Save(row, bytes, /*durable=*/record != Record::kState));
  with_.metrics.StoreWriteTook(absl::ToDoubleSeconds(with_.now() - start));
  if (!digest.empty()) job.ResultStored(digest);
  return absl::OkStatus();
}

// Its callers hear the error from stored().
void JobLedger::RefuseUnstored(Job& job, const absl::Status& why) {
  registry_.Erase(job);
  Cancel(job, why);
}

absl::Status JobLedger::OpenStore(std::unique_ptr<JobStore> store) {
  AD_ASSIGN_OR_RETURN(const std::vector<StoredJob> rows, store->LoadAll());
  std::vector<absl::StatusOr<std::string>> images;
  images.reserve(rows.size());
  for (const StoredJob& row : rows) {
    images.push_back(HasEnded(row) ? std::string() : store->ReadFile(row.image_digest));
  }
  store_ = std::make_unique<StoreThread>(std::move(store));
  for (size_t i = 0; i < rows.size(); ++i) Restore(rows[i], std::move(images[i]));
  if (rows.empty()) return absl::OkStatus();
  with_.log.Info("job store taken up",
                 {{"jobs", static_cast<int64_t>(rows.size())},
                  {"waiting", static_cast<int64_t>(with_.queue.load().waiting)}});
  return absl::OkStatus();
}

void JobLedger::Restore(const StoredJob& row, absl::StatusOr<std::string> image) {
  absl::StatusOr<JobRequest> request = RequestOf(row);
  if (!request.ok()) {
    with_.log.Error("stored job not taken up",
                    {{"job", row.name}, {"error", TextOf(request.status())}});
    return;
  }
  const bool readable = image.ok();
  if (readable) request->image = *std::move(image);
  const auto job = std::make_shared<Job>(
      *std::move(request), PastOf(row), row.deadline, with_.now,
      [this](Job& ended, const absl::Status& status) { OnFinished(ended, status); },
      [this](Job& started) { OnStarted(started); });
  registry_.Restore(job, row.expires);
  if (HasEnded(row)) return;
  with_.metrics.JobCounted(job->request(), JobOutcome::kRestored, "");
  if (WasRunning(row) && row.attempts >= Job::kMaxAttempts) {
    job->Fail(ServerLostTwiceError());
  } else if (!readable) {
    job->Fail(absl::DataLossError("the stored image of the job cannot be read"));
  } else {
    with_.queue.Restore(job);
  }
}

void JobLedger::CloseStore() {
  if (store_ == nullptr) return;
  SaveUnsaved();
  store_->Stop();
}

}  // namespace antidiffusion
