// JobDatabase: workers, and what time does to jobs and blobs.
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "server/database/job_database.h"
#include "server/database/job_rows.h"
#include "server/database/schema.h"

namespace antidiffusion {
namespace {

// Runs `each` with the rows of jobs for which `condition` holds, locked, in one transaction, and
// gives what it counted. Those that somebody else has at this moment are left for the next time. $1
// is the database's clock, $3 is `third`, if not "".
absl::StatusOr<Reaped> ForJobs(
    SqlPool& pool, const std::string& condition, int64_t most,
    const std::function<absl::Status(SqlConnection&, const JobState&, int64_t now, Reaped&)>& each,
    const std::string& third = "") {
  return InTransaction<Reaped>(
      pool, [&](SqlConnection& connection, Reaped& counts) -> absl::Status {
        AD_ASSIGN_OR_RETURN(const int64_t now, NowOf(connection));
        std::vector<SqlValue> parameters = {now, most};
        if (!third.empty()) parameters.emplace_back(third);
        AD_ASSIGN_OR_RETURN(
            const SqlResult rows,
            connection.Run(absl::StrCat("SELECT ", kStateColumns, " FROM jobs WHERE ", condition,
                                        " LIMIT $2", connection.dialect().lock_free),
                           parameters));
        for (size_t i = 0; i < rows.rows.size(); ++i) {
          AD_RETURN_IF_ERROR(each(connection, StateOf(rows, i), now, counts));
        }
        return absl::OkStatus();
      });
}

absl::Status EndCounted(SqlConnection& connection, const JobState& job, const JobEnd& end,
                        int64_t now, Reaped& counts) {
  counts.ended.push_back(EndedOf(job, end.phase, end.error));
  return EndJob(connection, job, end, now);
}

// A running job whose lease has run out.
absl::Status Lose(SqlConnection& connection, const JobState& job, int64_t now,
                  const std::string& lost_error, Reaped& counts) {
  JobEnd end = {.phase = JobPhase::kCancelled, .error = job.error, .cost = job.cost};
  if (!job.cancel.empty()) return EndCounted(connection, job, end, now, counts);
  if (job.losses + 1 < kMostLosses) {
    ++counts.requeued;
    return RequeueJob(connection, job, job.losses + 1);
  }
  ++counts.lost;
  end.phase = JobPhase::kFailed;
  end.error = lost_error;
  return EndCounted(connection, job, end, now, counts);
}

// A job that nobody wants any more: one that waits ends, one that runs is told to.
absl::Status GiveUp(SqlConnection& connection, const JobState& job, int64_t now,
                    const ReapErrors& errors, Reaped& counts) {
  ++counts.abandoned;
  if (job.phase == JobPhase::kQueued) {
    return EndCounted(connection, job, {.phase = JobPhase::kCancelled, .error = errors.abandoned},
                      now, counts);
  }
  TellChange(connection, job.name, JobPhase::kCancelled, job.sequence);
  return connection
      .Run(
          "UPDATE jobs SET wanted = $4, cancel = CASE WHEN cancel = '' THEN $2 ELSE cancel END, "
          "error = CASE WHEN cancel = '' THEN $3 ELSE error END WHERE name = $1",
          {job.name, errors.why_abandoned, SqlBytes{errors.abandoned}, kNever})
      .status();
}

void Add(Reaped more, Reaped& to) {
  to.requeued += more.requeued;
  to.lost += more.lost;
  to.expired += more.expired;
  to.forgotten += more.forgotten;
  to.abandoned += more.abandoned;
  to.ended.insert(to.ended.end(), more.ended.begin(), more.ended.end());
}

// Blobs that were put a while ago: those that no job names go, the others are not looked at again
// until the last job that names them goes.
absl::StatusOr<int64_t> ReapBlobs(SqlPool& pool, int64_t most) {
  return InTransaction<int64_t>(
      pool, [&](SqlConnection& connection, int64_t& gone) -> absl::Status {
        AD_ASSIGN_OR_RETURN(const int64_t now, NowOf(connection));
        AD_ASSIGN_OR_RETURN(
            const SqlResult old,
            connection.Run(absl::StrCat("SELECT digest FROM blobs WHERE made < $1 ORDER BY made "
                                        "LIMIT $2",
                                        connection.dialect().lock_free),
                           {now - Nanoseconds(kUnnamedFor), most}));
        for (size_t i = 0; i < old.rows.size(); ++i) {
          const std::string& digest = old.Text(i, 0);
          AD_ASSIGN_OR_RETURN(const bool dropped, DropBlob(connection, digest));
          gone += dropped ? 1 : 0;
          if (!dropped) AD_RETURN_IF_ERROR(NameBlob(connection, digest));
        }
        return absl::OkStatus();
      });
}

absl::StatusOr<int64_t> ReapWorkers(SqlPool& pool) {
  return InTransaction<int64_t>(
      pool, [&](SqlConnection& connection, int64_t& gone) -> absl::Status {
        AD_ASSIGN_OR_RETURN(const int64_t now, NowOf(connection));
        AD_RETURN_IF_ERROR(connection
                               .Run("DELETE FROM worker_models WHERE worker IN "
                                    "(SELECT worker FROM workers WHERE lease <= $1)",
                                    {now})
                               .status());
        AD_ASSIGN_OR_RETURN(const SqlResult workers,
                            connection.Run("DELETE FROM workers WHERE lease <= $1", {now}));
        gone = workers.affected;
        return absl::OkStatus();
      });
}

}  // namespace

JobDatabase::JobDatabase(std::unique_ptr<SqlPool> pool) : pool_(std::move(pool)) {
  pool_->set_on_notice([this](const std::string& notice) {
    if (const auto signal = JobSignal::FromText(notice)) signals_.Publish(*signal);
  });
}

absl::StatusOr<std::unique_ptr<JobDatabase>> JobDatabase::Open(std::unique_ptr<SqlPool> pool) {
  AD_RETURN_IF_ERROR(MigrateJobDatabase(*pool));
  return std::unique_ptr<JobDatabase>(new JobDatabase(std::move(pool)));
}

absl::Status JobDatabase::TakeOver() {
  return InTransaction(*pool_, [](SqlConnection& connection) -> absl::Status {
    AD_RETURN_IF_ERROR(connection.Run("UPDATE jobs SET lease = 0 WHERE state = 1").status());
    return connection
        .Run("UPDATE jobs SET wanted = 0 WHERE state < 2 AND holder <> '' AND request_id = ''")
        .status();
  });
}

absl::StatusOr<std::vector<EndedJob>> JobDatabase::CancelWaiting(const std::string& holder,
                                                                 const std::string& error,
                                                                 int64_t most) {
  const std::string condition = holder.empty() ? "" : " AND request_id = '' AND holder = $3";
  AD_ASSIGN_OR_RETURN(
      Reaped reaped,
      ForJobs(
          *pool_, absl::StrCat("state = 0", condition, " AND created <= $1 ORDER BY number"), most,
          [&](SqlConnection& connection, const JobState& job, int64_t now, Reaped& counts) {
            const JobEnd end = {
                .phase = JobPhase::kCancelled, .error = error, .frees_request_id = true};
            return EndCounted(connection, job, end, now, counts);
          },
          holder));
  return std::move(reaped.ended);
}

absl::StatusOr<Reaped> JobDatabase::Reap(const ReapErrors& errors, int64_t most) {
  AD_ASSIGN_OR_RETURN(
      Reaped reaped,
      ForJobs(*pool_, "state = 1 AND lease <= $1 ORDER BY lease", most,
              [&](SqlConnection& connection, const JobState& job, int64_t now, Reaped& counts) {
                return Lose(connection, job, now, errors.lost_twice, counts);
              }));
  AD_ASSIGN_OR_RETURN(
      Reaped unwanted,
      ForJobs(*pool_, "state < 2 AND wanted <= $1 ORDER BY wanted", most,
              [&](SqlConnection& connection, const JobState& job, int64_t now, Reaped& counts) {
                return GiveUp(connection, job, now, errors, counts);
              }));
  AD_ASSIGN_OR_RETURN(
      Reaped late,
      ForJobs(*pool_, "state = 0 AND deadline <= $1 ORDER BY deadline", most,
              [&](SqlConnection& connection, const JobState& job, int64_t now, Reaped& counts) {
                ++counts.expired;
                const JobEnd end = {
                    .phase = JobPhase::kExpired, .error = errors.expired, .frees_request_id = true};
                return EndCounted(connection, job, end, now, counts);
              }));
  AD_ASSIGN_OR_RETURN(
      Reaped old,
      ForJobs(*pool_, "state > 1 AND expires <= $1 ORDER BY expires", most,
              [](SqlConnection& connection, const JobState& job, int64_t, Reaped& counts) {
                ++counts.forgotten;
                return ForgetJob(connection, job);
              }));
  for (Reaped* const more : {&unwanted, &late, &old}) Add(std::move(*more), reaped);
  AD_ASSIGN_OR_RETURN(reaped.workers, ReapWorkers(*pool_));
  AD_ASSIGN_OR_RETURN(reaped.blobs, ReapBlobs(*pool_, most));
  return reaped;
}

absl::Status JobDatabase::Announce(const WorkerNote& note, absl::Duration lease) {
  return InTransaction(*pool_, [&](SqlConnection& connection) -> absl::Status {
    AD_ASSIGN_OR_RETURN(const int64_t now, NowOf(connection));
    AD_RETURN_IF_ERROR(
        connection
            .Run("INSERT INTO workers (worker, about, capacity, lease) VALUES ($1, $2, $3, $4) "
                 "ON CONFLICT (worker) DO UPDATE SET about = excluded.about, "
                 "capacity = excluded.capacity, lease = excluded.lease",
                 {note.worker, SqlBytes{note.about}, note.capacity, After(now, lease)})
            .status());
    AD_RETURN_IF_ERROR(
        connection.Run("DELETE FROM worker_models WHERE worker = $1", {note.worker}).status());
    for (const std::string& model : note.models) {
      AD_RETURN_IF_ERROR(connection
                             .Run("INSERT INTO worker_models (worker, model) VALUES ($1, $2) "
                                  "ON CONFLICT (worker, model) DO NOTHING",
                                  {note.worker, model})
                             .status());
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<WorkerNote>> JobDatabase::Workers() {
  return Query<std::vector<WorkerNote>>(
      *pool_, [&](SqlConnection& connection, std::vector<WorkerNote>& notes) -> absl::Status {
        AD_ASSIGN_OR_RETURN(
            const SqlResult rows,
            connection.Run("SELECT workers.worker, about, capacity, model FROM job_clock, workers "
                           "LEFT JOIN worker_models ON worker_models.worker = workers.worker "
                           "WHERE lease > now ORDER BY workers.worker, model"));
        for (size_t i = 0; i < rows.rows.size(); ++i) {
          if (notes.empty() || notes.back().worker != rows.Text(i, 0)) {
            notes.push_back({rows.Text(i, 0), rows.Text(i, 1), rows.Int(i, 2), {}});
          }
          if (const std::string& model = rows.Text(i, 3); !model.empty()) {
            notes.back().models.push_back(model);
          }
        }
        return absl::OkStatus();
      });
}

}  // namespace antidiffusion
