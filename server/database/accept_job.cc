// JobDatabase::Accept: what is refused, what is answered at once, and what waits.
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "server/database/job_database.h"
#include "server/database/job_rows.h"

namespace antidiffusion {
namespace {

constexpr absl::Duration kRequestIdLife = absl::Hours(24);

struct Tenant {
  int64_t queued = 0;
  int64_t queued_bytes = 0;
  int64_t running = 0;
  int64_t results = 0;
  int64_t result_bytes = 0;
};

// One acceptance, inside its transaction. The tenant's row is locked first, so that acceptances of
// one tenant follow one another.
class Acceptance {
 public:
  Acceptance(SqlConnection& connection, const NewJob& job, const TenantLimits& share,
             const QueueRoom& room)
      : connection_(connection), job_(job), share_(share), room_(room) {}

  absl::Status Run() {
    AD_ASSIGN_OR_RETURN(now_, NowOf(connection_));
    AD_RETURN_IF_ERROR(LockTenant());
    AD_ASSIGN_OR_RETURN(bool done, FindSame());
    if (done) return absl::OkStatus();
    AD_ASSIGN_OR_RETURN(done, AnswerFromResult());
    if (done) return absl::OkStatus();
    AD_ASSIGN_OR_RETURN(done, Refuse());
    if (done) return absl::OkStatus();
    return Queue();
  }

  AcceptAnswer answer;

 private:
  absl::Status LockTenant() {
    AD_ASSIGN_OR_RETURN(
        const SqlResult row,
        connection_.Run("INSERT INTO tenants (tenant, weight, max_running) VALUES ($1, $2, $3) "
                        "ON CONFLICT (tenant) DO UPDATE SET weight = excluded.weight, "
                        "max_running = excluded.max_running "
                        "RETURNING queued, queued_bytes, running, results, result_bytes",
                        {job_.tenant, share_.weight, share_.max_running}));
    tenant_ = {row.Int(0, 0), row.Int(0, 1), row.Int(0, 2), row.Int(0, 3), row.Int(0, 4)};
    return absl::OkStatus();
  }

  // The same job, given a second time, or an equal request of the last day.
  absl::StatusOr<bool> FindSame() {
    AD_ASSIGN_OR_RETURN(const SqlResult same,
                        connection_.Run("SELECT 1 FROM jobs WHERE name = $1 AND tenant = $2",
                                        {job_.name, job_.tenant}));
    if (!same.empty()) return Answer(AcceptAnswer::Kind::kAccepted, job_.name);
    if (job_.request_id.empty()) return false;
    AD_ASSIGN_OR_RETURN(
        const SqlResult known,
        connection_.Run("SELECT name, request_hash, created, state FROM jobs "
                        "WHERE tenant = $1 AND request_key = $2 AND request_key <> ''",
                        {job_.tenant, job_.request_id}));
    if (known.empty()) return false;
    const std::string& name = known.Text(0, 0);
    if (known.Int(0, 2) > now_ - Nanoseconds(kRequestIdLife)) {
      if (known.Text(0, 1) != job_.request_hash) return Answer(AcceptAnswer::Kind::kReused, name);
      AD_RETURN_IF_ERROR(Join(name));
      return Answer(AcceptAnswer::Kind::kJoined, name);
    }
    AD_RETURN_IF_ERROR(
        connection_.Run("UPDATE jobs SET request_key = '' WHERE name = $1", {name}).status());
    return false;
  }

  // One that nobody need wait for makes the job such a one, and lends it its own time; a caller of
  // another process makes it one of several.
  absl::Status Join(const std::string& name) {
    if (job_.holder.empty()) {
      const int64_t deadline = After(now_, job_.time_left);
      return connection_
          .Run(
              "UPDATE jobs SET holder = '', wanted = $2, deadline = CASE WHEN deadline < $3 "
              "THEN $3 ELSE deadline END WHERE name = $1 AND state < 2",
              {name, kNever, deadline})
          .status();
    }
    return connection_
        .Run(
            "UPDATE jobs SET joined = joined + 1, holder = CASE WHEN holder = $2 THEN holder "
            "ELSE $3 END WHERE name = $1 AND state < 2 AND holder <> ''",
            {name, job_.holder, std::string(kSeveralHolders)})
        .status();
  }

  // A row that is being deleted is locked, and none to answer from.
  absl::StatusOr<bool> AnswerFromResult() {
    if (job_.cache_key.empty()) return false;
    AD_ASSIGN_OR_RETURN(
        const SqlResult kept,
        connection_.Run(absl::StrCat("SELECT result, result_digest, result_bytes FROM jobs "
                                     "WHERE cache_key = $1 AND state = 2 AND expires > $2 "
                                     "ORDER BY number DESC LIMIT 1",
                                     connection_.dialect().lock_free),
                        {job_.cache_key, now_}));
    if (kept.empty()) return false;
    const int64_t bytes = kept.Int(0, 2);
    AD_ASSIGN_OR_RETURN(const bool fits, CanMakeRoom(bytes));
    if (!fits) return RefuseForResults();
    AD_RETURN_IF_ERROR(NameBlob(connection_, kept.Text(0, 1)));
    AD_RETURN_IF_ERROR(Insert(JobPhase::kSucceeded, ""));
    AD_RETURN_IF_ERROR(
        connection_
            .Run("UPDATE jobs SET ended = $2, expires = $3, result = $4, "
                 "result_digest = $5, result_bytes = $6, sequence = $7 WHERE name = $1",
                 {job_.name, now_, After(now_, job_.kept_for), SqlBytes{kept.Text(0, 0)},
                  kept.Text(0, 1), bytes, kSequenceSpan})
            .status());
    AD_RETURN_IF_ERROR(connection_
                           .Run("UPDATE tenants SET results = results + 1, "
                                "result_bytes = result_bytes + $2 WHERE tenant = $1",
                                {job_.tenant, bytes})
                           .status());
    // Last: the row that was answered from may be the one that has to go.
    AD_RETURN_IF_ERROR(MakeRoom(bytes));
    TellChange(connection_, job_.name, JobPhase::kSucceeded, kSequenceSpan);
    return Answer(AcceptAnswer::Kind::kAnswered, job_.name);
  }

  absl::StatusOr<bool> Refuse() {
    if (!job_.may_wait) return RefuseAs(AcceptAnswer::Kind::kMayNotWait, 0);
    if (tenant_.queued >= share_.max_queued) {
      return RefuseAs(AcceptAnswer::Kind::kTenantFull, share_.max_queued);
    }
    if (tenant_.queued > 0 && tenant_.queued_bytes + job_.image_bytes > share_.max_queued_bytes) {
      return RefuseAs(AcceptAnswer::Kind::kTenantBytesFull, share_.max_queued_bytes);
    }
    AD_ASSIGN_OR_RETURN(const SqlResult sums,
                        connection_.Run("SELECT sum(queued), sum(queued_bytes) FROM tenants"));
    if (sums.Int(0, 0) >= room_.max_queued) {
      return RefuseAs(AcceptAnswer::Kind::kQueueFull, room_.max_queued);
    }
    if (sums.Int(0, 1) + job_.image_bytes > room_.max_queued_bytes) {
      return RefuseAs(AcceptAnswer::Kind::kQueueBytesFull, room_.max_queued_bytes);
    }
    AD_ASSIGN_OR_RETURN(const bool fits, CanMakeRoom(1));
    return fits ? false : RefuseForResults();
  }

  absl::StatusOr<bool> RefuseForResults() {
    const bool by_count = tenant_.results >= share_.max_results;
    return RefuseAs(AcceptAnswer::Kind::kResultsFull,
                    by_count ? share_.max_results : share_.max_result_bytes);
  }

  absl::Status Queue() {
    // A tenant that had nothing to do gets no credit for it. What runs was charged as planned, and
    // may turn out to be less: it does not count yet.
    if (tenant_.queued + tenant_.running == 0) {
      AD_RETURN_IF_ERROR(
          connection_
              .Run("UPDATE tenants SET virtual_time = (SELECT max(begun) FROM ("
                   "SELECT virtual_time AS begun FROM tenants WHERE tenant = $1 UNION ALL "
                   "SELECT min(virtual_time - running_cost / weight) FROM tenants "
                   "WHERE queued > 0 OR running > 0) "
                   "AS times) WHERE tenant = $1",
                   {job_.tenant})
              .status());
    }
    AD_RETURN_IF_ERROR(NameBlob(connection_, job_.image_digest));
    AD_RETURN_IF_ERROR(Insert(JobPhase::kQueued, job_.image_digest));
    AD_RETURN_IF_ERROR(MakeRoom(1));
    AD_RETURN_IF_ERROR(
        connection_
            .Run("UPDATE tenants SET queued = queued + 1, "
                 "queued_bytes = queued_bytes + $2, queued_cost = queued_cost + $3, "
                 "queued_first = queued_first + $4 WHERE tenant = $1",
                 {job_.tenant, job_.image_bytes, job_.cost, int64_t{job_.job_class == 0}})
            .status());
    TellChange(connection_, job_.name, JobPhase::kQueued, 1);
    return Answer(AcceptAnswer::Kind::kAccepted, job_.name).status();
  }

  absl::Status Insert(JobPhase phase, const std::string& image_digest) {
    return connection_
        .Run(
            "INSERT INTO jobs (name, tenant, request_id, request, request_hash, cache_key, model, "
            "class, cost, image_digest, image_bytes, trace, created, deadline, kept_for, state, "
            "request_key, holder, wanted, also, sequence) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, "
            "$9, "
            "$10, $11, $12, $13, $14, $15, $16, $3, $17, $18, $19, 1)",
            {job_.name, job_.tenant, job_.request_id, SqlBytes{job_.request}, job_.request_hash,
             job_.cache_key, job_.model, int64_t{job_.job_class}, job_.cost, image_digest,
             job_.image_bytes, job_.trace, now_, After(now_, job_.time_left),
             Nanoseconds(job_.kept_for), static_cast<int64_t>(phase), job_.holder,
             After(now_, job_.wanted_for), AlsoText(job_.also)})
        .status();
  }

  // Whether the tenant may keep `bytes` more, if results that were read go for it.
  absl::StatusOr<bool> CanMakeRoom(int64_t bytes) {
    if (HasRoom(bytes)) return true;
    AD_ASSIGN_OR_RETURN(const SqlResult read,
                        connection_.Run("SELECT sum(result_bytes), count(*) FROM jobs "
                                        "WHERE tenant = $1 AND state > 1 AND is_read = 1",
                                        {job_.tenant}));
    return tenant_.result_bytes - read.Int(0, 0) + bytes <= share_.max_result_bytes &&
           tenant_.results - read.Int(0, 1) < share_.max_results;
  }

  bool HasRoom(int64_t bytes) const {
    return tenant_.result_bytes + bytes <= share_.max_result_bytes &&
           tenant_.results < share_.max_results;
  }

  // Lets go what CanMakeRoom counted on, the oldest first.
  absl::Status MakeRoom(int64_t bytes) {
    while (!HasRoom(bytes)) {
      const bool for_bytes = tenant_.results < share_.max_results;
      AD_ASSIGN_OR_RETURN(
          const SqlResult oldest,
          connection_.Run(
              absl::StrCat("SELECT ", kStateColumns, " FROM jobs WHERE tenant = $1 AND state > 1 ",
                           "AND is_read = 1", for_bytes ? " AND result_bytes > 0" : "",
                           " ORDER BY ended LIMIT 1", connection_.dialect().lock_free),
              {job_.tenant}));
      if (oldest.empty()) return absl::AbortedError("another is at the results that must go");
      const JobState read = StateOf(oldest, 0);
      AD_RETURN_IF_ERROR(ForgetJob(connection_, read));
      tenant_.result_bytes -= read.result_bytes;
      --tenant_.results;
      ++answer.evicted;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<bool> RefuseAs(AcceptAnswer::Kind kind, int64_t limit) {
    answer.limit = limit;
    return Answer(kind, "");
  }

  absl::StatusOr<bool> Answer(AcceptAnswer::Kind kind, const std::string& name) {
    answer.kind = kind;
    answer.name = name;
    return true;
  }

  SqlConnection& connection_;
  const NewJob& job_;
  const TenantLimits& share_;
  const QueueRoom& room_;
  int64_t now_ = 0;
  Tenant tenant_;
};

}  // namespace

absl::StatusOr<AcceptAnswer> JobDatabase::Accept(const NewJob& job, const TenantLimits& share,
                                                 const QueueRoom& room) {
  return InTransaction<AcceptAnswer>(
      *pool_, [&](SqlConnection& connection, AcceptAnswer& answer) -> absl::Status {
        Acceptance acceptance(connection, job, share, room);
        AD_RETURN_IF_ERROR(acceptance.Run());
        answer = std::move(acceptance.answer);
        return absl::OkStatus();
      });
}

}  // namespace antidiffusion
