// The databases that jobs are kept in, for tests that hold on each of them.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/database/job_database.h"
#include "tests/server/database/postgres_server.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {

// Its parameter is one of Engines(). Skips, aloud, where no PostgreSQL is installed.
class JobDatabaseTest : public ::testing::TestWithParam<std::string> {
 protected:
  static void TearDownTestSuite() { postgres_.reset(); }
  void SetUp() override;

  // Verbs, answered as they are where all goes well.
  AcceptAnswer::Kind Accept(const NewJob& job, const TenantLimits& share = {},
                            const QueueRoom& room = {});
  std::optional<ClaimedJob> Claim(const std::string& worker = "w1",
                                  const std::vector<std::string>& models = {"alpha"});
  StoredJobRow Get(const std::string& name, const std::string& tenant = "anna");
  Reaped Reap();
  QueueFigures Figures();
  // Accepted, claimed and finished; a tenant's job that nothing else waits beside.
  void Succeed(const NewJob& job, const JobEnd& end, const TenantLimits& share = {});

  // A further one on the same database: another process, as far as that can tell. PostgreSQL only.
  std::unique_ptr<JobDatabase> Another() const;

  void Advance(absl::Duration time) const;  // of the database's clock
  void Run(const std::string& statement) const;

  bool is_postgres() const { return GetParam() == "postgres"; }
  const std::string& connection() const { return connection_; }  // of PostgreSQL
  static PostgresServer& postgres() { return *postgres_; }

  std::unique_ptr<JobDatabase> jobs_;
  SqlPool* pool_ = nullptr;  // of jobs_

 private:
  std::unique_ptr<SqlPool> NewPool() const;

  static std::unique_ptr<PostgresServer> postgres_;
  std::string connection_;
  TempDir dir_;
};

inline auto Engines() { return ::testing::Values("memory", "file", "postgres"); }
inline std::string EngineName(const ::testing::TestParamInfo<std::string>& of) { return of.param; }

}  // namespace antidiffusion
