#include "server/database/schema.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "core/base/status_macros.h"

namespace antidiffusion {
namespace {

constexpr int kTriesToMake = 5;

// {SERIAL}, {BYTES}, {REAL} and {NOW} are the dialect's. Times are nanoseconds since 1970 by the
// view job_clock, whose `skew` tests move; what never comes is the largest 64-bit integer.
using Statements = std::vector<const char*>;

// What is queued, running and kept is counted in `tenants`, so that no verb counts all jobs.
Statements First() {
  return {
      "CREATE TABLE clock_skew (skew BIGINT NOT NULL)", "INSERT INTO clock_skew (skew) VALUES (0)",
      "CREATE VIEW job_clock AS SELECT {NOW} + skew AS now FROM clock_skew",
      "CREATE TABLE tenants ("
      "tenant TEXT PRIMARY KEY, weight {REAL} NOT NULL DEFAULT 1, "
      "max_running BIGINT NOT NULL DEFAULT 1000000000, "
      "virtual_time {REAL} NOT NULL DEFAULT 0, turns BIGINT NOT NULL DEFAULT 0, "
      "queued BIGINT NOT NULL DEFAULT 0, queued_bytes BIGINT NOT NULL DEFAULT 0, "
      "queued_first BIGINT NOT NULL DEFAULT 0, running_cost {REAL} NOT NULL DEFAULT 0, "
      "queued_cost {REAL} NOT NULL DEFAULT 0, running BIGINT NOT NULL DEFAULT 0, "
      "results BIGINT NOT NULL DEFAULT 0, result_bytes BIGINT NOT NULL DEFAULT 0)",
      "CREATE TABLE jobs ("
      "number {SERIAL}, name TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL, request_id TEXT NOT NULL, "
      "request_key TEXT NOT NULL, holder TEXT NOT NULL, wanted BIGINT NOT NULL, "
      "joined BIGINT NOT NULL DEFAULT 0, "
      "request {BYTES} NOT NULL, request_hash TEXT NOT NULL, cache_key TEXT NOT NULL, "
      "model TEXT NOT NULL, also TEXT NOT NULL, class BIGINT NOT NULL, cost {REAL} NOT NULL, "
      "image_digest TEXT NOT NULL, image_bytes BIGINT NOT NULL, trace TEXT NOT NULL, "
      "created BIGINT NOT NULL, deadline BIGINT NOT NULL, kept_for BIGINT NOT NULL, "
      "state BIGINT NOT NULL, attempt BIGINT NOT NULL DEFAULT 0, losses BIGINT NOT NULL DEFAULT 0, "
      "released BIGINT NOT NULL DEFAULT 0, "
      "worker TEXT NOT NULL DEFAULT '', lease BIGINT NOT NULL DEFAULT 0, "
      "cancel TEXT NOT NULL DEFAULT '', sequence BIGINT NOT NULL DEFAULT 0, progress {BYTES}, "
      "started BIGINT NOT NULL DEFAULT 0, ended BIGINT NOT NULL DEFAULT 0, "
      "expires BIGINT NOT NULL DEFAULT 9223372036854775807, "
      "error {BYTES}, result {BYTES}, result_digest TEXT NOT NULL DEFAULT '', "
      "result_bytes BIGINT NOT NULL DEFAULT 0, is_read BIGINT NOT NULL DEFAULT 0)",
      // A request id belongs to one job, as its request_key, which may be taken from it: after a
      // day, or where a retry shall begin anew.
      "CREATE UNIQUE INDEX jobs_by_request ON jobs (tenant, request_key) WHERE request_key <> ''",
      "CREATE INDEX jobs_queued ON jobs (tenant, class, number) WHERE state = 0",
      "CREATE INDEX jobs_queued_by_age ON jobs (tenant, number) WHERE state = 0",
      "CREATE INDEX jobs_by_also ON jobs (also) WHERE state = 0 AND also <> ''",
      "CREATE INDEX jobs_by_deadline ON jobs (deadline) WHERE state = 0",
      "CREATE INDEX jobs_by_wanted ON jobs (wanted) WHERE state < 2",
      "CREATE INDEX jobs_by_lease ON jobs (lease) WHERE state = 1",
      "CREATE INDEX jobs_by_expiry ON jobs (expires) WHERE state > 1",
      "CREATE INDEX jobs_by_result ON jobs (cache_key, number) WHERE state = 2",
      "CREATE INDEX jobs_to_evict ON jobs (tenant, ended) WHERE state > 1 AND is_read = 1",
      "CREATE INDEX jobs_of_tenant ON jobs (tenant, number)",
      "CREATE INDEX jobs_of_tenant_by_state ON jobs (tenant, state, number)",
      "CREATE INDEX jobs_by_image ON jobs (image_digest) WHERE image_digest <> ''",
      "CREATE INDEX jobs_by_result_image ON jobs (result_digest) WHERE result_digest <> ''",
      "CREATE TABLE workers ("
      "worker TEXT PRIMARY KEY, about {BYTES} NOT NULL, capacity BIGINT NOT NULL, "
      "lease BIGINT NOT NULL)",
      "CREATE TABLE worker_models ("
      "worker TEXT NOT NULL, model TEXT NOT NULL, PRIMARY KEY (worker, model))",
      "CREATE TABLE blobs (digest TEXT PRIMARY KEY, size BIGINT NOT NULL, made BIGINT NOT NULL)",
      "CREATE INDEX blobs_by_age ON blobs (made)",
      "CREATE TABLE blob_chunks ("
      "digest TEXT NOT NULL, number BIGINT NOT NULL, bytes {BYTES} NOT NULL, "
      "PRIMARY KEY (digest, number))"};
}

// Version 1, 2, ...: appended to, never changed.
std::vector<Statements> Steps() { return {First()}; }

std::string InDialect(const char* statement, const SqlDialect& dialect) {
  return absl::StrReplaceAll(statement, {{"{SERIAL}", dialect.serial},
                                         {"{BYTES}", dialect.bytes},
                                         {"{REAL}", dialect.real},
                                         {"{NOW}", dialect.now}});
}

absl::Status Migrate(SqlConnection& connection) {
  AD_ASSIGN_OR_RETURN(
      const SqlResult row,
      connection.Run(absl::StrCat("SELECT version FROM job_database", connection.dialect().lock)));
  const auto steps = Steps();
  const auto known = static_cast<int64_t>(steps.size());
  const int64_t version = row.empty() ? 0 : row.Int(0, 0);
  if (version > known + 1) {
    return absl::FailedPreconditionError(
        absl::StrCat("the job database is of version ", version, "; this program knows ", known));
  }
  for (int64_t next = version; next < known; ++next) {
    for (const char* statement : steps[static_cast<size_t>(next)]) {
      AD_RETURN_IF_ERROR(connection.Run(InDialect(statement, connection.dialect())).status());
    }
  }
  if (version >= known) return absl::OkStatus();
  return connection.Run("UPDATE job_database SET version = $1", {known}).status();
}

}  // namespace

absl::Status MigrateJobDatabase(SqlPool& pool) {
  // Of several that begin at once one makes the table, and the others find it when they try again.
  absl::Status made;
  for (int i = 0; i < kTriesToMake; ++i) {
    made = InTransaction(pool, [](SqlConnection& connection) -> absl::Status {
      AD_RETURN_IF_ERROR(connection
                             .Run("CREATE TABLE IF NOT EXISTS job_database "
                                  "(one BIGINT PRIMARY KEY, version BIGINT NOT NULL)")
                             .status());
      return connection
          .Run("INSERT INTO job_database (one, version) VALUES (1, 0) ON CONFLICT (one) DO NOTHING")
          .status();
    });
    if (!absl::IsAlreadyExists(made)) break;
  }
  AD_RETURN_IF_ERROR(made);
  return InTransaction(pool, Migrate);
}

}  // namespace antidiffusion
