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
    "name, tenant, request_id, request, model, state, class, attempt - released, sequence, holder, "
    "joined, image_digest, image_bytes, cache_key, progress, created, deadline, started, ended, "
    "expires, "
    "error, result, result_digest, result_bytes, trace, number, now";
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
  job.attempts = integer();
  job.sequence = integer();
  job.holder = text();
  job.joined = integer();
  job.image_digest = text();
  job.image_bytes = integer();
  job.cache_key = text();
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
  job.now = TimeOf(integer());
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

// The place of a waiting job: of its own tenant's those of an earlier class or number go first, of
// the others' as many as start before its turn.
absl::StatusOr<QueuePlace> PlaceOf(SqlConnection& connection, const std::string& tenant,
                                   int64_t job_class, int64_t number) {
  AD_ASSIGN_OR_RETURN(
      const SqlResult own,
      connection.Run(absl::StrCat("SELECT count(*) FROM (SELECT 1 FROM jobs WHERE tenant = $1 "
                                  "AND state = 0 AND (class < $2 OR (class = $2 AND number < $3))"
                                  " LIMIT ",
                                  kMostCounted, ") AS ahead"),
                     {tenant, job_class, number}));
  AD_ASSIGN_OR_RETURN(const SqlResult tenants,
                      connection.Run("SELECT tenant, virtual_time, weight, queued, queued_cost "
                                     "FROM tenants WHERE queued > 0 OR tenant = $1",
                                     {tenant}));
  // The tenant's time when it is this job's turn, and how many jobs others start until then.
  const auto ahead = static_cast<double>(own.Int(0, 0));
  double turn = 0;
  double before = ahead;
  double cost = 0;
  for (size_t i = 0; i < tenants.rows.size(); ++i) {
    if (tenants.Text(i, 0) != tenant) continue;
    const int64_t waiting = tenants.Int(i, 3);  // none: before its first job is accepted
    const double each = waiting > 0 ? tenants.Double(i, 4) / static_cast<double>(waiting) : 0;
    turn = tenants.Double(i, 1) + ahead * each / tenants.Double(i, 2);
    cost = ahead * each;
  }
  for (size_t i = 0; i < tenants.rows.size(); ++i) {
    if (tenants.Text(i, 0) == tenant) continue;
    const auto waiting = static_cast<double>(tenants.Int(i, 3));
    const double span = (turn - tenants.Double(i, 1)) * tenants.Double(i, 2);
    const double each = tenants.Double(i, 4) / waiting;
    if (span <= 0) continue;
    const double first = each > 0 ? std::min(waiting, std::ceil(span / each)) : waiting;
    before += first;
    cost += first * each;
  }
  return QueuePlace{static_cast<int64_t>(before), cost};
}

struct CancelOrder {
  const std::string& why;
  const std::string& error;
  bool frees_request_id = false;
};

// `ended`: it waited, and has ended now.
absl::Status CancelLocked(SqlConnection& connection, const JobState& job, const CancelOrder& order,
                          bool& ended) {
  if (HasEnded(job.phase)) return absl::OkStatus();
  if (job.phase == JobPhase::kQueued) {
    ended = true;
    AD_ASSIGN_OR_RETURN(const int64_t now, NowOf(connection));
    const JobEnd end = {.phase = JobPhase::kCancelled,
                        .error = order.error,
                        .frees_request_id = order.frees_request_id};
    return EndJob(connection, job, end, now);
  }
  if (order.frees_request_id) {
    AD_RETURN_IF_ERROR(
        connection.Run("UPDATE jobs SET request_key = '' WHERE name = $1", {job.name}).status());
  }
  TellChange(connection, job.name, JobPhase::kCancelled, job.sequence);
  return connection
      .Run("UPDATE jobs SET cancel = $2, error = $3 WHERE name = $1 AND cancel = ''",
           {job.name, order.why, SqlBytes{order.error}})
      .status();
}

}  // namespace

absl::StatusOr<bool> JobDatabase::Cancel(const std::string& tenant, const std::string& name,
                                         const std::string& why, const std::string& error,
                                         bool frees_request_id) {
  return InTransaction<bool>(*pool_, [&](SqlConnection& connection, bool& ended) -> absl::Status {
    AD_ASSIGN_OR_RETURN(const JobState job, LockJobOf(connection, tenant, name));
    return CancelLocked(connection, job, {why, error, frees_request_id}, ended);
  });
}

absl::StatusOr<bool> JobDatabase::Abandon(const std::string& name, const std::string& holder,
                                          int64_t joined, const std::string& why,
                                          const std::string& error) {
  return InTransaction<bool>(*pool_, [&](SqlConnection& connection, bool& ended) -> absl::Status {
    const absl::StatusOr<JobState> job = LockJob(connection, name);
    if (absl::IsNotFound(job.status())) return absl::OkStatus();
    AD_RETURN_IF_ERROR(job.status());
    if (job->holder != holder || job->joined != joined) return absl::OkStatus();
    return CancelLocked(connection, *job, {why, error, /*frees_request_id=*/true}, ended);
  });
}

absl::Status JobDatabase::Want(const std::vector<std::string>& names, const std::string& holder,
                               absl::Duration lease) {
  for (const std::string& name : names) {
    AD_RETURN_IF_ERROR(InTransaction(*pool_, [&](SqlConnection& connection) -> absl::Status {
      AD_ASSIGN_OR_RETURN(const int64_t now, NowOf(connection));
      return connection
          .Run(
              "UPDATE jobs SET wanted = CASE WHEN wanted = $5 THEN wanted ELSE $3 END, "
              "holder = CASE WHEN holder = $2 THEN holder ELSE $4 END "
              "WHERE name = $1 AND state < 2 AND holder <> ''",
              {name, holder, After(now, lease), std::string(kSeveralHolders), kNever})
          .status();
    }));
  }
  return absl::OkStatus();
}

absl::StatusOr<StoredJobRow> JobDatabase::Get(const std::string& tenant, const std::string& name) {
  return Query<StoredJobRow>(
      *pool_, [&](SqlConnection& connection, StoredJobRow& job) -> absl::Status {
        AD_ASSIGN_OR_RETURN(
            const SqlResult row,
            connection.Run(absl::StrCat("SELECT ", kColumns,
                                        " FROM job_clock, jobs WHERE name = $1 AND tenant = $2"),
                           {name, tenant}));
        if (row.empty()) return NoSuchJob(name);
        job = RowOf(row, 0);
        return absl::OkStatus();
      });
}

absl::StatusOr<JobPage> JobDatabase::List(const std::string& tenant, std::optional<JobPhase> phase,
                                          int64_t size, int64_t before) {
  return Query<JobPage>(*pool_, [&](SqlConnection& connection, JobPage& page) -> absl::Status {
    std::string statement = absl::StrCat("SELECT ", kColumns,
                                         " FROM job_clock, jobs WHERE tenant = $1 AND number < $2");
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

absl::Status JobDatabase::Delete(const std::string& tenant, const std::string& name,
                                 const std::string& holder) {
  return InTransaction(*pool_, [&](SqlConnection& connection) -> absl::Status {
    AD_ASSIGN_OR_RETURN(const JobState job, LockJobOf(connection, tenant, name));
    if (!holder.empty() && job.holder != holder) return absl::OkStatus();
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

absl::StatusOr<QueuePlace> JobDatabase::Position(const std::string& name) {
  return Query<QueuePlace>(
      *pool_, [&](SqlConnection& connection, QueuePlace& place) -> absl::Status {
        AD_ASSIGN_OR_RETURN(
            const SqlResult job,
            connection.Run("SELECT tenant, class, number FROM jobs WHERE name = $1 AND state = 0",
                           {name}));
        if (job.empty()) return NoSuchJob(name);
        AD_ASSIGN_OR_RETURN(place,
                            PlaceOf(connection, job.Text(0, 0), job.Int(0, 1), job.Int(0, 2)));
        return absl::OkStatus();
      });
}

absl::StatusOr<QueuePlace> JobDatabase::PositionOfNext(const std::string& tenant, int job_class) {
  return Query<QueuePlace>(
      *pool_, [&](SqlConnection& connection, QueuePlace& place) -> absl::Status {
        AD_ASSIGN_OR_RETURN(place, PlaceOf(connection, tenant, job_class, kNever));
        return absl::OkStatus();
      });
}

absl::StatusOr<QueueFigures> JobDatabase::Figures() {
  return Query<QueueFigures>(
      *pool_, [&](SqlConnection& connection, QueueFigures& figures) -> absl::Status {
        AD_ASSIGN_OR_RETURN(
            const SqlResult sums,
            connection.Run("SELECT sum(queued), sum(queued_first), sum(queued_bytes), "
                           "sum(running), sum(results), sum(result_bytes) FROM tenants"));
        AD_ASSIGN_OR_RETURN(
            const SqlResult workers,
            connection.Run("SELECT sum(capacity) FROM workers, job_clock WHERE lease > now"));
        figures = {sums.Int(0, 0), sums.Int(0, 1), sums.Int(0, 2),   sums.Int(0, 3),
                   sums.Int(0, 4), sums.Int(0, 5), workers.Int(0, 0)};
        return absl::OkStatus();
      });
}

absl::StatusOr<int64_t> JobDatabase::CountWaiting(const std::string& holder) {
  return Query<int64_t>(*pool_, [&](SqlConnection& connection, int64_t& count) -> absl::Status {
    absl::StatusOr<SqlResult> row =
        holder.empty() ? connection.Run("SELECT sum(queued) FROM tenants")
                       : connection.Run(
                             "SELECT count(*) FROM jobs WHERE state = 0 AND request_id = '' "
                             "AND holder = $1",
                             {holder});
    if (row.ok()) count = row->Int(0, 0);
    return row.status();
  });
}

absl::StatusOr<std::vector<OpenJobs>> JobDatabase::CountOpen() {
  return Query<std::vector<OpenJobs>>(
      *pool_, [&](SqlConnection& connection, std::vector<OpenJobs>& open) -> absl::Status {
        AD_ASSIGN_OR_RETURN(const SqlResult rows,
                            connection.Run("SELECT tenant, model, count(*) FROM jobs "
                                           "WHERE state < 2 GROUP BY tenant, model"));
        for (size_t i = 0; i < rows.rows.size(); ++i) {
          open.push_back({rows.Text(i, 0), rows.Text(i, 1), rows.Int(i, 2)});
        }
        return absl::OkStatus();
      });
}

}  // namespace antidiffusion
