// JobDatabase: the verbs of those who compute jobs.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/status_macros.h"
#include "server/database/job_database.h"
#include "server/database/job_rows.h"

namespace antidiffusion {
namespace {

constexpr int64_t kTurnsOfTheOldest =
    5;  // each so many turns of a tenant its oldest job goes first
constexpr int kTenantsTried = 8;

// What a claim may be of.
struct Choice {
  const std::vector<std::string>& models;
  const std::string& holder;      // as of Claim
  std::vector<std::string> also;  // of what waiting jobs name there, what consists of `models`
};

// Few: most jobs name one model.
absl::StatusOr<std::vector<std::string>> AlsoOf(SqlConnection& connection,
                                                const std::vector<std::string>& models) {
  AD_ASSIGN_OR_RETURN(
      const SqlResult rows,
      connection.Run("SELECT DISTINCT also FROM jobs WHERE state = 0 AND also <> ''"));
  std::vector<std::string> known;
  for (size_t i = 0; i < rows.rows.size(); ++i) {
    const std::vector<std::string> wanted = absl::StrSplit(rows.Text(i, 0), '\n');
    const bool has_all = std::all_of(wanted.begin(), wanted.end(), [&](const std::string& model) {
      return std::find(models.begin(), models.end(), model) != models.end();
    });
    if (has_all) known.push_back(rows.Text(i, 0));
  }
  return known;
}

// "$2, $3", of values that are added to the parameters.
std::string Places(const std::vector<std::string>& values, std::vector<SqlValue>& parameters) {
  std::string places;
  for (const std::string& value : values) {
    parameters.emplace_back(value);
    absl::StrAppend(&places, places.empty() ? "$" : ", $", parameters.size());
  }
  return places;
}

// That for a row of jobs; its parameters follow those before.
std::string Condition(const Choice& choice, std::vector<SqlValue>& parameters) {
  std::string condition =
      absl::StrCat("jobs.model IN (", Places(choice.models, parameters), ") AND jobs.also IN (''");
  const std::string also = Places(choice.also, parameters);
  absl::StrAppend(&condition, also.empty() ? "" : ", ", also, ")");
  if (choice.holder.empty()) return condition;
  parameters.emplace_back(choice.holder);
  absl::StrAppend(&condition, " AND jobs.request_id = '' AND jobs.holder = $", parameters.size());
  return condition;
}

// The tenants that wait with one of the models, the one whose turn it is first.
absl::StatusOr<SqlResult> TenantsInTurn(SqlConnection& connection, const Choice& choice) {
  std::vector<SqlValue> parameters;
  const std::string condition = Condition(choice, parameters);
  return connection.Run(
      absl::StrCat("SELECT tenant FROM tenants WHERE queued > 0 AND running < max_running "
                   "AND EXISTS (SELECT 1 FROM jobs WHERE jobs.tenant = tenants.tenant "
                   "AND jobs.state = 0 AND ",
                   condition, ") ORDER BY virtual_time, tenant LIMIT ", kTenantsTried),
      parameters);
}

// A waiting job, locked -> one that `worker` runs; its tenant, counted among its running ones
// already, is charged the planned cost.
absl::StatusOr<ClaimedJob> Begin(SqlConnection& connection, const JobState& job,
                                 const std::string& worker, absl::Duration lease) {
  AD_RETURN_IF_ERROR(connection
                         .Run("UPDATE tenants SET queued = queued - 1, "
                              "queued_bytes = queued_bytes - $2, queued_cost = queued_cost - $3, "
                              "queued_first = queued_first - $4, running_cost = running_cost + $3, "
                              "virtual_time = virtual_time + $3 / weight WHERE tenant = $1",
                              {job.tenant, job.image_bytes, job.cost, int64_t{job.job_class == 0}})
                         .status());
  AD_ASSIGN_OR_RETURN(const int64_t now, NowOf(connection));
  AD_ASSIGN_OR_RETURN(
      const SqlResult row,
      connection.Run("UPDATE jobs SET state = 1, attempt = attempt + 1, worker = $2, lease = $3, "
                     "started = $4, sequence = $5 WHERE name = $1 "
                     "RETURNING request, cache_key, attempt, released, deadline",
                     {job.name, worker, After(now, lease), now, NextSequenceSpan(job.sequence)}));
  TellChange(connection, job.name, JobPhase::kRunning, NextSequenceSpan(job.sequence));
  ClaimedJob claimed;
  claimed.name = job.name;
  claimed.tenant = job.tenant;
  claimed.request_id = job.request_id;
  claimed.holder = job.holder;
  claimed.model = job.model;
  claimed.trace = job.trace;
  claimed.job_class = static_cast<int>(job.job_class);
  claimed.image_digest = job.image_digest;
  claimed.image_bytes = job.image_bytes;
  claimed.losses = job.losses;
  claimed.sequence = NextSequenceSpan(job.sequence);
  claimed.created = TimeOf(job.created);
  claimed.now = TimeOf(now);
  claimed.request = row.Text(0, 0);
  claimed.cache_key = row.Text(0, 1);
  claimed.attempt = row.Int(0, 2);
  claimed.attempts = row.Int(0, 2) - row.Int(0, 3);
  claimed.deadline = TimeOf(row.Int(0, 4));
  return claimed;
}

// The tenant's next job of one of the models; none where somebody else has it.
absl::StatusOr<std::optional<ClaimedJob>> ClaimOf(SqlConnection& connection,
                                                  const std::string& tenant,
                                                  const std::string& worker, const Choice& choice,
                                                  absl::Duration lease) {
  AD_ASSIGN_OR_RETURN(
      const SqlResult turn,
      connection.Run("UPDATE tenants SET running = running + 1, turns = turns + 1 "
                     "WHERE tenant = $1 AND queued > 0 AND running < max_running RETURNING turns",
                     {tenant}));
  if (turn.empty()) return std::nullopt;
  const bool oldest = turn.Int(0, 0) % kTurnsOfTheOldest == 0;
  std::vector<SqlValue> parameters = {tenant};
  const std::string condition = Condition(choice, parameters);
  AD_ASSIGN_OR_RETURN(
      const SqlResult next,
      connection.Run(
          absl::StrCat("SELECT ", kStateColumns, " FROM jobs WHERE tenant = $1 AND state = 0 AND ",
                       condition, " ORDER BY ", oldest ? "number" : "class, number", " LIMIT 1",
                       connection.dialect().lock_free),
          parameters));
  if (next.empty()) {
    AD_RETURN_IF_ERROR(connection
                           .Run("UPDATE tenants SET running = running - 1, turns = turns - 1 "
                                "WHERE tenant = $1",
                                {tenant})
                           .status());
    return std::nullopt;
  }
  AD_ASSIGN_OR_RETURN(ClaimedJob claimed, Begin(connection, StateOf(next, 0), worker, lease));
  return claimed;
}

// Runs `write` with the job's row locked, where the attempt still is the job's.
absl::StatusOr<bool> OfAttempt(
    SqlPool& pool, const std::string& name, int64_t attempt,
    const std::function<absl::Status(SqlConnection&, const JobState&)>& write) {
  return InTransaction<bool>(pool, [&](SqlConnection& connection, bool& held) -> absl::Status {
    const absl::StatusOr<JobState> job = LockJob(connection, name);
    if (absl::IsNotFound(job.status())) return absl::OkStatus();
    AD_RETURN_IF_ERROR(job.status());
    held = job->phase == JobPhase::kRunning && job->attempt == attempt;
    return held ? write(connection, *job) : absl::OkStatus();
  });
}

}  // namespace

absl::StatusOr<std::optional<ClaimedJob>> JobDatabase::Claim(const std::string& worker,
                                                             const std::vector<std::string>& models,
                                                             absl::Duration lease,
                                                             const std::string& holder) {
  if (models.empty()) return std::nullopt;
  return InTransaction<std::optional<ClaimedJob>>(
      *pool_, [&](SqlConnection& connection, std::optional<ClaimedJob>& claimed) -> absl::Status {
        AD_ASSIGN_OR_RETURN(const std::vector<std::string> also, AlsoOf(connection, models));
        const Choice choice = {models, holder, also};
        AD_ASSIGN_OR_RETURN(const SqlResult tenants, TenantsInTurn(connection, choice));
        for (size_t i = 0; i < tenants.rows.size() && !claimed.has_value(); ++i) {
          AD_ASSIGN_OR_RETURN(claimed,
                              ClaimOf(connection, tenants.Text(i, 0), worker, choice, lease));
        }
        return absl::OkStatus();
      });
}

absl::StatusOr<LeaseAnswer> JobDatabase::Renew(const std::string& name, int64_t attempt,
                                               absl::Duration lease, const std::string& progress,
                                               int64_t sequence) {
  return InTransaction<LeaseAnswer>(
      *pool_, [&](SqlConnection& connection, LeaseAnswer& answer) -> absl::Status {
        AD_ASSIGN_OR_RETURN(const int64_t now, NowOf(connection));
        AD_ASSIGN_OR_RETURN(
            const SqlResult row,
            connection.Run("UPDATE jobs SET lease = $3, progress = $4, sequence = CASE "
                           "WHEN sequence < $5 THEN $5 ELSE sequence + 1 END "
                           "WHERE name = $1 AND attempt = $2 AND state = 1 "
                           "RETURNING cancel, sequence, error",
                           {name, attempt, After(now, lease), SqlBytes{progress}, sequence}));
        if (!row.empty()) TellChange(connection, name, JobPhase::kRunning, row.Int(0, 1));
        answer.why = row.empty() ? "" : row.Text(0, 0);
        answer.error = row.empty() ? "" : row.Text(0, 2);
        answer.lease = row.empty()          ? Lease::kLost
                       : answer.why.empty() ? Lease::kHeld
                                            : Lease::kCancelled;
        return absl::OkStatus();
      });
}

absl::StatusOr<bool> JobDatabase::Finish(const std::string& name, int64_t attempt,
                                         const JobEnd& end) {
  return OfAttempt(*pool_, name, attempt,
                   [&end](SqlConnection& connection, const JobState& job) -> absl::Status {
                     AD_ASSIGN_OR_RETURN(const int64_t now, NowOf(connection));
                     return EndJob(connection, job, end, now);
                   });
}

absl::StatusOr<bool> JobDatabase::Release(const std::string& name, int64_t attempt, bool lost,
                                          std::vector<EndedJob>* ended) {
  std::optional<EndedJob> cancelled;
  absl::StatusOr<bool> held = OfAttempt(
      *pool_, name, attempt,
      [lost, &cancelled](SqlConnection& connection, const JobState& job) -> absl::Status {
        cancelled.reset();  // of a try before
        if (!job.cancel.empty()) {
          AD_ASSIGN_OR_RETURN(const int64_t now, NowOf(connection));
          cancelled = EndedOf(job, JobPhase::kCancelled, job.error);
          const JobEnd end = {.phase = JobPhase::kCancelled,
                              .error = job.error,
                              .cost = lost ? job.cost : 0};  // as of one whose lease has run out
          return EndJob(connection, job, end, now);
        }
        if (lost) return RequeueJob(connection, job, job.losses + 1);
        AD_RETURN_IF_ERROR(
            connection
                .Run("UPDATE jobs SET holder = '' WHERE name = $1 AND request_id <> ''", {job.name})
                .status());
        return RequeueJob(connection, job, job.losses);
      });
  const bool is_ended = held.ok() && *held && cancelled.has_value();
  if (is_ended && ended != nullptr) ended->push_back(*std::move(cancelled));
  return held;
}

}  // namespace antidiffusion
