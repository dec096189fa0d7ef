#include "server/database/open_pool.h"

#include <gtest/gtest.h>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

using StoreKind = JobStoreName::Kind;

TEST(OpenPoolTest, NamesOfJobStores) {
  EXPECT_EQ(ParseJobStore(":memory:")->kind, StoreKind::kMemory);
  EXPECT_EQ(ParseJobStore("sqlite:/data/jobs.db")->kind, StoreKind::kFile);
  EXPECT_EQ(ParseJobStore("sqlite:/data/jobs.db")->where, "/data/jobs.db");
  for (const char* uri : {"postgresql://anna@db/jobs?sslmode=verify-full", "postgres:///jobs"}) {
    EXPECT_EQ(ParseJobStore(uri)->kind, StoreKind::kPostgres);
    EXPECT_EQ(ParseJobStore(uri)->where, uri);
  }
  EXPECT_EQ(ParseJobStore("postgresql:host=db dbname=jobs")->where, "host=db dbname=jobs");
}

TEST(OpenPoolTest, WhatIsNoneIsNotToldBack) {
  for (const char* text : {"", "sqlite:", "sqlite::memory:", "postgresql:secret", "secret"}) {
    const absl::Status refused = ParseJobStore(text).status();
    EXPECT_THAT(refused, ViolatesField("job-store"));
    EXPECT_EQ(refused.ToString().find("secret"), std::string::npos);
  }
}

TEST(OpenPoolTest, AFileOfAnEarlierVersionIsRefusedAndLeftAsItIs) {
  const TempDir dir;
  const JobStoreName store = {JobStoreName::Kind::kFile, dir.File("jobs.db")};
  {
    AD_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<SqlPool> pool, OpenPool(store, 1));
    const auto number = [](SqlConnection& connection) {
      return connection.Run("PRAGMA user_version = 3").status();
    };
    ASSERT_THAT(pool->With(number), IsOk());
  }
  for (int i = 0; i < 2; ++i) {
    const absl::Status refused = OpenPool(store, 1).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
    EXPECT_NE(refused.message().find(store.where), absl::string_view::npos);
  }
}

}  // namespace
}  // namespace antidiffusion
