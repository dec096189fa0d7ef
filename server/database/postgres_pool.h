// PostgreSQL behind SqlPool.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/database/sql.h"

struct pg_conn;  // libpq's PGconn

namespace antidiffusion {

// Where signals of jobs are told.
inline constexpr char kPostgresChannel[] = "antidiffusion_jobs";  // as in the dialect's `notify`

struct PostgresOptions {
  // As libpq takes it: a URI (postgresql://USER@HOST/DATABASE?sslmode=verify-full) or KEY=VALUE
  // words; what is left out comes from PG* variables and the password file.
  std::string connection;
  int sessions = 4;                                      // at most
  absl::Duration statement_timeout = absl::Seconds(10);  // of one statement, by the database
};

// A session, or what tells why there is none; the caller's, for PQfinish. Waits at most 5 s for an
// answer where `connection` does not say otherwise.
pg_conn* ConnectToPostgres(const std::string& connection);

// Opens one session, to see that it can. Sessions that break are opened anew when they are next
// used. UNAVAILABLE: no database there, or it does not let us in.
absl::StatusOr<std::unique_ptr<SqlPool>> OpenPostgresPool(const PostgresOptions& options);

}  // namespace antidiffusion
