// JobDatabase: workers, blobs, and what time does to jobs.
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

constexpr size_t kChunk = size_t{1} << 20;
constexpr int64_t kMostLosses = 2;

// Runs `each` with the rows of jobs for which `condition` holds, locked, in one transaction, and
// gives what it counted. Those that somebody else has at this moment are left for the next time. $1
// is the database's clock.
absl::StatusOr<Reaped> ForJobs(SqlPool& pool, const std::string& condition, int64_t most,
                               const std::function<absl::Status(SqlConnection&, const JobState&,
                                                                int64_t now, Reaped&)>& each) {
  return InTransaction<Reaped>(
      pool, [&](SqlConnection& connection, Reaped& counts) -> absl::Status {
        AD_ASSIGN_OR_RETURN(const int64_t now, NowOf(connection));
        AD_ASSIGN_OR_RETURN(
            const SqlResult rows,
            connection.Run(absl::StrCat("SELECT ", kStateColumns, " FROM jobs WHERE ", condition,
                                        " LIMIT $2", connection.dialect().lock_free),
                           {now, most}));
        for (size_t i = 0; i < rows.rows.size(); ++i) {
          AD_RETURN_IF_ERROR(each(connection, StateOf(rows, i), now, counts));
        }
        return absl::OkStatus();
      });
}

// A running job whose lease has run out.
absl::Status Lose(SqlConnection& connection, const JobState& job, int64_t now,
                  const std::string& lost_error, Reaped& counts) {
  if (!job.cancel.empty()) {
    return EndJob(connection, job, {.phase = JobPhase::kCancelled, .error = job.error}, now);
  }
  if (job.losses + 1 < kMostLosses) {
    ++counts.requeued;
    return RequeueJob(connection, job, job.losses + 1);
  }
  ++counts.lost;
  const JobEnd end = {.phase = JobPhase::kFailed, .error = lost_error, .cost = job.cost};
  return EndJob(connection, job, end, now);
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

absl::StatusOr<std::unique_ptr<JobDatabase>> JobDatabase::Open(std::unique_ptr<SqlPool> pool) {
  AD_RETURN_IF_ERROR(MigrateJobDatabase(*pool));
  return std::unique_ptr<JobDatabase>(new JobDatabase(std::move(pool)));
}

absl::StatusOr<Reaped> JobDatabase::Reap(const std::string& lost_error,
                                         const std::string& expired_error, int64_t most) {
  AD_ASSIGN_OR_RETURN(
      Reaped reaped,
      ForJobs(*pool_, "state = 1 AND lease <= $1 ORDER BY lease", most,
              [&](SqlConnection& connection, const JobState& job, int64_t now, Reaped& counts) {
                return Lose(connection, job, now, lost_error, counts);
              }));
  AD_ASSIGN_OR_RETURN(
      const Reaped late,
      ForJobs(*pool_, "state = 0 AND deadline <= $1 ORDER BY deadline", most,
              [&](SqlConnection& connection, const JobState& job, int64_t now, Reaped& counts) {
                ++counts.expired;
                const JobEnd end = {.phase = JobPhase::kExpired, .error = expired_error};
                return EndJob(connection, job, end, now);
              }));
  AD_ASSIGN_OR_RETURN(
      const Reaped old,
      ForJobs(*pool_, "state > 1 AND expires <= $1 ORDER BY expires", most,
              [](SqlConnection& connection, const JobState& job, int64_t, Reaped& counts) {
                ++counts.forgotten;
                return ForgetJob(connection, job);
              }));
  reaped.expired = late.expired;
  reaped.forgotten = old.forgotten;
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

absl::Status JobDatabase::PutBlob(const std::string& digest, const std::string& bytes) {
  return InTransaction(*pool_, [&](SqlConnection& connection) -> absl::Status {
    AD_ASSIGN_OR_RETURN(const int64_t now, NowOf(connection));
    AD_RETURN_IF_ERROR(connection
                           .Run("INSERT INTO blobs (digest, size, made) VALUES ($1, $2, $3) "
                                "ON CONFLICT (digest) DO UPDATE SET made = excluded.made",
                                {digest, static_cast<int64_t>(bytes.size()), now})
                           .status());
    AD_ASSIGN_OR_RETURN(
        const SqlResult there,
        connection.Run("SELECT 1 FROM blob_chunks WHERE digest = $1 LIMIT 1", {digest}));
    if (!there.empty()) return absl::OkStatus();
    int64_t number = 0;
    for (size_t offset = 0; offset == 0 || offset < bytes.size(); offset += kChunk) {
      AD_RETURN_IF_ERROR(
          connection
              .Run("INSERT INTO blob_chunks (digest, number, bytes) VALUES ($1, $2, $3)",
                   {digest, number++, SqlBytes{bytes.substr(offset, kChunk)}})
              .status());
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<std::string> JobDatabase::GetBlob(const std::string& digest) {
  return Query<std::string>(
      *pool_, [&](SqlConnection& connection, std::string& bytes) -> absl::Status {
        AD_ASSIGN_OR_RETURN(const SqlResult blob,
                            connection.Run("SELECT size FROM blobs WHERE digest = $1", {digest}));
        absl::Status gone = absl::NotFoundError(absl::StrCat("no blob ", digest));
        if (blob.empty()) return gone;
        for (int64_t number = 0; static_cast<int64_t>(bytes.size()) < blob.Int(0, 0); ++number) {
          AD_ASSIGN_OR_RETURN(
              const SqlResult chunk,
              connection.Run("SELECT bytes FROM blob_chunks WHERE digest = $1 AND number = $2",
                             {digest, number}));
          if (chunk.empty()) return gone;  // deleted between two chunks
          bytes += chunk.Text(0, 0);
        }
        return absl::OkStatus();
      });
}

}  // namespace antidiffusion
