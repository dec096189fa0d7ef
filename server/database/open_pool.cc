#include "server/database/open_pool.h"

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "core/base/status_details.h"
#include "server/database/postgres_pool.h"
#include "server/database/sqlite_pool.h"

namespace antidiffusion {

absl::StatusOr<JobStoreName> ParseJobStore(const std::string& text) {
  using Kind = JobStoreName::Kind;
  if (text == ":memory:") return JobStoreName{Kind::kMemory, text};
  if (absl::StartsWith(text, "postgresql://") || absl::StartsWith(text, "postgres://")) {
    return JobStoreName{Kind::kPostgres, text};
  }
  absl::string_view rest = text;
  if (absl::ConsumePrefix(&rest, "sqlite:") && !rest.empty() && rest != ":memory:") {
    return JobStoreName{Kind::kFile, std::string(rest)};
  }
  if (absl::ConsumePrefix(&rest, "postgresql:") && absl::StrContains(rest, "=")) {
    return JobStoreName{Kind::kPostgres, std::string(rest)};
  }
  // What was given may hold a password: it is not told back.
  return InvalidField("job-store", "(not shown)",
                      ":memory:, sqlite:PATH, postgresql://USER@HOST/DATABASE or "
                      "postgresql:KEY=VALUE ...");
}

absl::StatusOr<std::unique_ptr<SqlPool>> OpenPool(const JobStoreName& store, int sessions) {
  if (store.shared()) return OpenPostgresPool({.connection = store.where, .sessions = sessions});
  return OpenSqlitePool(store.where);
}

}  // namespace antidiffusion
