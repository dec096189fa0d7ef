#include "server/database/job_rows.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status_macros.h"

namespace antidiffusion {

const char kStateColumns[] =
    "name, tenant, state, attempt, losses, cost, image_bytes, image_digest, result_digest, "
    "result_bytes, kept_for, cancel, error, class, request_id, model, trace, created, sequence, "
    "holder, joined";

int64_t Nanoseconds(absl::Duration duration) {
  return duration == absl::InfiniteDuration() ? kNever : absl::ToInt64Nanoseconds(duration);
}

absl::Time TimeOf(int64_t nanoseconds) {
  if (nanoseconds == 0) return absl::InfinitePast();
  return nanoseconds == kNever ? absl::InfiniteFuture() : absl::FromUnixNanos(nanoseconds);
}

absl::StatusOr<int64_t> NowOf(SqlConnection& connection) {
  AD_ASSIGN_OR_RETURN(const SqlResult row, connection.Run("SELECT now FROM job_clock"));
  if (row.empty()) return absl::InternalError("the job database has no clock");
  return row.Int(0, 0);
}

int64_t After(int64_t now, int64_t nanoseconds) {
  return nanoseconds > kNever - now ? kNever : now + nanoseconds;
}

int64_t After(int64_t now, absl::Duration duration) { return After(now, Nanoseconds(duration)); }

JobState StateOf(const SqlResult& result, size_t row) {
  JobState job;
  job.name = result.Text(row, 0);
  job.tenant = result.Text(row, 1);
  job.phase = static_cast<JobPhase>(result.Int(row, 2));
  job.attempt = result.Int(row, 3);
  job.losses = result.Int(row, 4);
  job.cost = result.Double(row, 5);
  job.image_bytes = result.Int(row, 6);
  job.image_digest = result.Text(row, 7);
  job.result_digest = result.Text(row, 8);
  job.result_bytes = result.Int(row, 9);
  job.kept_for = result.Int(row, 10);
  job.cancel = result.Text(row, 11);
  job.error = result.Text(row, 12);
  job.job_class = result.Int(row, 13);
  job.request_id = result.Text(row, 14);
  job.model = result.Text(row, 15);
  job.trace = result.Text(row, 16);
  job.created = result.Int(row, 17);
  job.sequence = result.Int(row, 18);
  job.holder = result.Text(row, 19);
  job.joined = result.Int(row, 20);
  return job;
}

std::string AlsoText(const std::vector<std::string>& models) { return absl::StrJoin(models, "\n"); }

EndedJob EndedOf(const JobState& job, JobPhase phase, const std::string& error) {
  return {job.name,  job.tenant, job.request_id, job.model,
          job.trace, phase,      error,          TimeOf(job.created)};
}

void TellChange(SqlConnection& connection, const std::string& job, JobPhase phase,
                int64_t sequence) {
  connection.notices().push_back(JobSignal{job, phase, sequence}.ToText());
}

absl::StatusOr<JobState> LockJob(SqlConnection& connection, const std::string& name) {
  AD_ASSIGN_OR_RETURN(const SqlResult row, connection.Run(absl::StrCat("SELECT ", kStateColumns,
                                                                       " FROM jobs WHERE name = $1",
                                                                       connection.dialect().lock),
                                                          {name}));
  if (row.empty()) return absl::NotFoundError(absl::StrCat("no job ", name));
  return StateOf(row, 0);
}

namespace {

absl::Status LeaveQueue(SqlConnection& connection, const JobState& job) {
  return connection
      .Run(
          "UPDATE tenants SET queued = queued - 1, queued_bytes = queued_bytes - $2, "
          "queued_cost = queued_cost - $3, queued_first = queued_first - $4 WHERE tenant = $1",
          {job.tenant, job.image_bytes, job.cost, int64_t{job.job_class == 0}})
      .status();
}

// The tenant was charged the planned cost when the job was claimed.
absl::Status LeaveWorker(SqlConnection& connection, const JobState& job, double cost) {
  return connection
      .Run(
          "UPDATE tenants SET running = running - 1, running_cost = running_cost - $3, "
          "virtual_time = virtual_time + $2 / weight WHERE tenant = $1",
          {job.tenant, cost - job.cost, job.cost})
      .status();
}

}  // namespace

absl::Status EndJob(SqlConnection& connection, const JobState& job, const JobEnd& end,
                    int64_t now) {
  AD_RETURN_IF_ERROR(NameBlob(connection, end.result_digest));
  // What has no result has nothing to be read.
  const bool is_read = end.phase != JobPhase::kSucceeded;
  const int64_t sequence = NextSequenceSpan(job.sequence);
  AD_RETURN_IF_ERROR(
      connection
          .Run("UPDATE jobs SET state = $2, ended = $3, expires = $4, error = $5, result = $6, "
               "result_digest = $7, result_bytes = $8, image_digest = '', progress = NULL, "
               "lease = 0, sequence = $9, is_read = $10 WHERE name = $1",
               {job.name, static_cast<int64_t>(end.phase), now, After(now, job.kept_for),
                SqlBytes{end.error}, SqlBytes{end.result}, end.result_digest, end.result_bytes,
                sequence, int64_t{is_read}})
          .status());
  if (end.frees_request_id) {
    AD_RETURN_IF_ERROR(
        connection.Run("UPDATE jobs SET request_key = '' WHERE name = $1", {job.name}).status());
  }
  if (!end.answers_equals) {
    AD_RETURN_IF_ERROR(
        connection.Run("UPDATE jobs SET cache_key = '' WHERE name = $1", {job.name}).status());
  }
  TellChange(connection, job.name, end.phase, sequence);
  AD_RETURN_IF_ERROR(connection
                         .Run("UPDATE tenants SET results = results + 1, "
                              "result_bytes = result_bytes + $2 WHERE tenant = $1",
                              {job.tenant, end.result_bytes})
                         .status());
  AD_RETURN_IF_ERROR(job.phase == JobPhase::kRunning ? LeaveWorker(connection, job, end.cost)
                                                     : LeaveQueue(connection, job));
  return DropBlob(connection, job.image_digest).status();
}

absl::Status RequeueJob(SqlConnection& connection, const JobState& job, int64_t losses) {
  const int64_t sequence = NextSequenceSpan(job.sequence);
  AD_RETURN_IF_ERROR(
      connection
          .Run("UPDATE jobs SET state = 0, worker = '', lease = 0, started = 0, losses = $2, "
               "progress = NULL, sequence = $3, released = released + $4 WHERE name = $1",
               {job.name, losses, sequence, int64_t{losses == job.losses}})
          .status());
  TellChange(connection, job.name, JobPhase::kQueued, sequence);
  return connection
      .Run(
          "UPDATE tenants SET running = running - 1, queued = queued + 1, "
          "queued_bytes = queued_bytes + $2, queued_cost = queued_cost + $3, "
          "queued_first = queued_first + $4, running_cost = running_cost - $3, "
          "virtual_time = virtual_time - $3 / weight WHERE tenant = $1",
          {job.tenant, job.image_bytes, job.cost, int64_t{job.job_class == 0}})
      .status();
}

absl::Status ForgetJob(SqlConnection& connection, const JobState& job) {
  AD_RETURN_IF_ERROR(connection.Run("DELETE FROM jobs WHERE name = $1", {job.name}).status());
  AD_RETURN_IF_ERROR(connection
                         .Run("UPDATE tenants SET results = results - 1, "
                              "result_bytes = result_bytes - $2 WHERE tenant = $1",
                              {job.tenant, job.result_bytes})
                         .status());
  return DropBlob(connection, job.result_digest).status();
}

absl::Status NameBlob(SqlConnection& connection, const std::string& digest) {
  if (digest.empty()) return absl::OkStatus();
  AD_ASSIGN_OR_RETURN(
      const SqlResult blob,
      connection.Run("UPDATE blobs SET made = $2 WHERE digest = $1", {digest, kNever}));
  if (blob.affected > 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("no blob ", digest, "; put it again"));
}

absl::StatusOr<bool> DropBlob(SqlConnection& connection, const std::string& digest) {
  if (digest.empty()) return false;
  // Locked by a statement of its own: what the next one sees of jobs is younger than the lock, so a
  // job whose acceptance named the blob in the meantime is seen.
  AD_ASSIGN_OR_RETURN(const SqlResult blob,
                      connection.Run(absl::StrCat("SELECT made FROM blobs WHERE digest = $1",
                                                  connection.dialect().lock),
                                     {digest}));
  if (blob.empty()) return false;
  AD_ASSIGN_OR_RETURN(const int64_t now, NowOf(connection));
  const int64_t made = blob.Int(0, 0);
  if (made != kNever && made >= now - Nanoseconds(kUnnamedFor)) return false;
  AD_ASSIGN_OR_RETURN(const SqlResult gone,
                      connection.Run("DELETE FROM blobs WHERE digest = $1 "
                                     "AND NOT EXISTS (SELECT 1 FROM jobs WHERE image_digest = $1) "
                                     "AND NOT EXISTS (SELECT 1 FROM jobs WHERE result_digest = $1)",
                                     {digest}));
  if (gone.affected == 0) return false;
  AD_RETURN_IF_ERROR(
      connection.Run("DELETE FROM blob_chunks WHERE digest = $1", {digest}).status());
  return true;
}

}  // namespace antidiffusion
