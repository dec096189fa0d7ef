// JobDatabase: the verbs of those who ask, cancel and delete.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "server/database/job_database.h"
#include "server/database/job_rows.h"

namespace antidiffusion {
namespace {

constexpr char kColumns[] =
    "name, tenant, request_id, request, model, state, class, attempt, sequence, progress, created, "
    "deadline, started, ended, expires, error, result, result_digest, result_bytes, trace, number";
constexpr int64_t kMostCounted = 10'000;  // of the tenant's own jobs before one

StoredJobRow RowOf(const SqlResult& result, size_t row) {
  size_t column = 0;
  const auto text = [&] { return result.Text(row, column++); };
  const auto integer = [&] { return result.Int(row, column++); };
  StoredJobRow job;
  job.name = text();
  job.tenant = text();
  job.request_id = text();
  job.request = text();
  job.model = text();
  job.phase = static_cast<JobPhase>(integer());
  job.job_class = static_cast<int>(integer());
  job.attempt = integer();
  job.sequence = integer();
  job.progress = text();
  job.created = TimeOf(integer());
  job.deadline = TimeOf(integer());
  job.started = TimeOf(integer());
  job.ended = TimeOf(integer());
  job.expires = TimeOf(integer());
  job.error = text();
  job.result = text();
  job.result_digest = text();
  job.result_bytes = integer();
  job.trace = text();
  job.number = integer();
  return job;
}

absl::Status NoSuchJob(const std::string& name) {
  return absl::NotFoundError(absl::StrCat("no job ", name));
}

// The row of a tenant's job, locked.
absl::StatusOr<JobState> LockJobOf(SqlConnection& connection, const std::string& tenant,
                                   const std::string& name) {
  AD_ASSIGN_OR_RETURN(JobState job, LockJob(connection, name));
  if (job.tenant != tenant) return NoSuchJob(name);
  return job;
}

}  // namespace

absl::Status JobDatabase::Cancel(const std::string& tenant, const std::string& name,
                                 const std::string& why, const std::string& error) {
  return InTransaction(*pool_, [&](SqlConnection& connection) -> absl::Status {
    AD_ASSIGN_OR_RETURN(const JobState job, LockJobOf(connection, tenant, name));
    if (HasEnded(job.phase)) return absl::OkStatus();
    if (job.phase == JobPhase::kRunning) {
      return connection
          .Run(
              "UPDATE jobs SET cancel = $2, error = $3, sequence = sequence + 1 "
              "WHERE name = $1 AND cancel = ''",
              {name, why, SqlBytes{error}})
          .status();
    }
    AD_ASSIGN_OR_RETURN(const int64_t now, NowOf(connection));
    return EndJob(connection, job, {.phase = JobPhase::kCancelled, .error = error}, now);
  });
}

absl::StatusOr<StoredJobRow> JobDatabase::Get(const std::string& tenant, const std::string& name) {
  return Query<StoredJobRow>(
      *pool_, [&](SqlConnection& connection, StoredJobRow& job) -> absl::Status {
        AD_ASSIGN_OR_RETURN(
            const SqlResult row,
            connection.Run(
                absl::StrCat("SELECT ", kColumns, " FROM jobs WHERE name = $1 AND tenant = $2"),
                {name, tenant}));
        if (row.empty()) return NoSuchJob(name);
        job = RowOf(row, 0);
        return absl::OkStatus();
      });
}

absl::StatusOr<JobPage> JobDatabase::List(const std::string& tenant, std::optional<JobPhase> phase,
                                          int64_t size, int64_t before) {
  return Query<JobPage>(*pool_, [&](SqlConnection& connection, JobPage& page) -> absl::Status {
    std::string statement =
        absl::StrCat("SELECT ", kColumns, " FROM jobs WHERE tenant = $1 AND number < $2");
    std::vector<SqlValue> parameters = {tenant, before == 0 ? kNever : before, size + 1};
    if (phase.has_value()) {
      absl::StrAppend(&statement, " AND state = $4");
      parameters.emplace_back(static_cast<int64_t>(*phase));
    }
    AD_ASSIGN_OR_RETURN(
        const SqlResult rows,
        connection.Run(absl::StrCat(statement, " ORDER BY number DESC LIMIT $3"), parameters));
    const auto wanted = std::min(rows.rows.size(), static_cast<size_t>(size));
    for (size_t i = 0; i < wanted; ++i) page.jobs.push_back(RowOf(rows, i));
    if (rows.rows.size() > wanted && wanted > 0) page.next = page.jobs.back().number;
    return absl::OkStatus();
  });
}

absl::Status JobDatabase::Delete(const std::string& tenant, const std::string& name) {
  return InTransaction(*pool_, [&](SqlConnection& connection) -> absl::Status {
    AD_ASSIGN_OR_RETURN(const JobState job, LockJobOf(connection, tenant, name));
    if (HasEnded(job.phase)) return ForgetJob(connection, job);
    return absl::FailedPreconditionError(absl::StrCat("job ", name, " has not ended"));
  });
}

absl::Status JobDatabase::MarkRead(const std::string& name) {
  return pool_->With([&](SqlConnection& connection) {
    return connection.Run("UPDATE jobs SET is_read = 1 WHERE name = $1 AND state > 1", {name})
        .status();
  });
}

absl::StatusOr<int64_t> JobDatabase::Position(const std::string& name) {
  return Query<int64_t>(*pool_, [&](SqlConnection& connection, int64_t& position) -> absl::Status {
    AD_ASSIGN_OR_RETURN(
        const SqlResult job,
        connection.Run("SELECT tenant, class, number FROM jobs WHERE name = $1 AND state = 0",
                       {name}));
    if (job.empty()) return NoSuchJob(name);
    const std::string& tenant = job.Text(0, 0);
    AD_ASSIGN_OR_RETURN(
        const SqlResult own,
        connection.Run(absl::StrCat("SELECT count(*) FROM (SELECT 1 FROM jobs WHERE tenant = $1 "
                                    "AND state = 0 AND (class < $2 OR (class = $2 AND number < $3))"
                                    " LIMIT ",
                                    kMostCounted, ") AS ahead"),
                       {tenant, job.Int(0, 1), job.Int(0, 2)}));
    AD_ASSIGN_OR_RETURN(const SqlResult tenants,
                        connection.Run("SELECT tenant, virtual_time, weight, queued, queued_cost "
                                       "FROM tenants WHERE queued > 0"));
    // A tenant's time when it is this job's turn, and how many jobs others start until then.
    const auto ahead = static_cast<double>(own.Int(0, 0));
    double turn = 0;
    for (size_t i = 0; i < tenants.rows.size(); ++i) {
      if (tenants.Text(i, 0) != tenant) continue;
      const double each = tenants.Double(i, 4) / static_cast<double>(tenants.Int(i, 3));
      turn = tenants.Double(i, 1) + ahead * each / tenants.Double(i, 2);
    }
    double before = ahead;
    for (size_t i = 0; i < tenants.rows.size(); ++i) {
      if (tenants.Text(i, 0) == tenant) continue;
      const auto waiting = static_cast<double>(tenants.Int(i, 3));
      const double span = (turn - tenants.Double(i, 1)) * tenants.Double(i, 2);
      const double each = tenants.Double(i, 4) / waiting;
      if (span > 0) before += each > 0 ? std::min(waiting, std::ceil(span / each)) : waiting;
    }
    position = static_cast<int64_t>(before);
    return absl::OkStatus();
  });
}

absl::StatusOr<QueueFigures> JobDatabase::Figures() {
  return Query<QueueFigures>(
      *pool_, [&](SqlConnection& connection, QueueFigures& figures) -> absl::Status {
        AD_ASSIGN_OR_RETURN(
            const SqlResult sums,
            connection.Run("SELECT sum(queued), sum(queued_bytes), sum(running) FROM tenants"));
        AD_ASSIGN_OR_RETURN(
            const SqlResult workers,
            connection.Run("SELECT sum(capacity) FROM workers, job_clock WHERE lease > now"));
        figures = {sums.Int(0, 0), sums.Int(0, 1), sums.Int(0, 2), workers.Int(0, 0)};
        return absl::OkStatus();
      });
}

absl::StatusOr<absl::Time> JobDatabase::Now() {
  return Query<absl::Time>(*pool_, [&](SqlConnection& connection, absl::Time& now) -> absl::Status {
    AD_ASSIGN_OR_RETURN(const int64_t nanoseconds, NowOf(connection));
    now = TimeOf(nanoseconds);
    return absl::OkStatus();
  });
}

}  // namespace antidiffusion
