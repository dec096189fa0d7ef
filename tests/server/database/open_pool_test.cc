#include "server/database/open_pool.h"

#include <gtest/gtest.h>

#include "tests/testing/status_matchers.h"

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

}  // namespace
}  // namespace antidiffusion
