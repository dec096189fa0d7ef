#include "tests/server/database/database_engines.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/database/postgres_pool.h"
#include "server/database/sqlite_pool.h"
#include "tests/server/database/jobs_of_tests.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {

std::unique_ptr<PostgresServer> JobDatabaseTest::postgres_;

void JobDatabaseTest::SetUp() {
  if (is_postgres() && postgres_ == nullptr) {
    absl::StatusOr<std::unique_ptr<PostgresServer>> server = PostgresServer::Start();
    if (absl::IsUnimplemented(server.status())) GTEST_SKIP() << server.status().message();
    ASSERT_THAT(server.status(), IsOk());
    postgres_ = *std::move(server);
  }
  if (is_postgres()) connection_ = postgres_->NewDatabase();
  std::unique_ptr<SqlPool> pool = NewPool();
  ASSERT_NE(pool, nullptr);
  pool_ = pool.get();
  absl::StatusOr<std::unique_ptr<JobDatabase>> jobs = JobDatabase::Open(std::move(pool));
  ASSERT_THAT(jobs.status(), IsOk());
  jobs_ = *std::move(jobs);
}

std::unique_ptr<SqlPool> JobDatabaseTest::NewPool() const {
  absl::StatusOr<std::unique_ptr<SqlPool>> pool =
      is_postgres() ? OpenPostgresPool({.connection = connection_, .sessions = 8})
                    : OpenSqlitePool(GetParam() == "file" ? dir_.File("jobs.db") : ":memory:");
  EXPECT_THAT(pool.status(), IsOk());
  return pool.ok() ? *std::move(pool) : nullptr;
}

namespace {

template <typename T>
T ValueOrDefault(absl::StatusOr<T> value) {
  EXPECT_THAT(value.status(), IsOk());
  return value.ok() ? *std::move(value) : T();
}

}  // namespace

AcceptAnswer::Kind JobDatabaseTest::Accept(const NewJob& job, const TenantLimits& share,
                                           const QueueRoom& room) {
  return ValueOrDefault(jobs_->Accept(job, share, room)).kind;
}

std::optional<ClaimedJob> JobDatabaseTest::Claim(const std::string& worker,
                                                 const std::vector<std::string>& models) {
  return ValueOrDefault(jobs_->Claim(worker, models, kLease));
}

StoredJobRow JobDatabaseTest::Get(const std::string& name, const std::string& tenant) {
  return ValueOrDefault(jobs_->Get(tenant, name));
}

Reaped JobDatabaseTest::Reap() {
  return ValueOrDefault(jobs_->Reap({.lost_twice = "lost twice",
                                     .expired = "too late",
                                     .abandoned = "nobody waits",
                                     .why_abandoned = "why"}));
}

QueueFigures JobDatabaseTest::Figures() { return ValueOrDefault(jobs_->Figures()); }

void JobDatabaseTest::Succeed(const NewJob& job, const JobEnd& end, const TenantLimits& share) {
  ASSERT_EQ(Accept(job, share), AcceptAnswer::Kind::kAccepted);
  const std::optional<ClaimedJob> claimed = Claim();
  ASSERT_TRUE(claimed.has_value());
  ASSERT_EQ(claimed->name, job.name);
  EXPECT_TRUE(ValueOrDefault(jobs_->Finish(job.name, claimed->attempt, end)));
}

std::unique_ptr<JobDatabase> JobDatabaseTest::Another() const {
  absl::StatusOr<std::unique_ptr<JobDatabase>> jobs = JobDatabase::Open(NewPool());
  EXPECT_THAT(jobs.status(), IsOk());
  return jobs.ok() ? *std::move(jobs) : nullptr;
}

void JobDatabaseTest::Advance(absl::Duration time) const {
  Run(absl::StrCat("UPDATE clock_skew SET skew = skew + ", absl::ToInt64Nanoseconds(time)));
}

void JobDatabaseTest::Run(const std::string& statement) const {
  EXPECT_THAT(
      pool_->With([&](SqlConnection& connection) { return connection.Run(statement).status(); }),
      IsOk());
}

}  // namespace antidiffusion
