// A job database in memory, and what its users in the server need beside it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "server/database/open_pool.h"
#include "server/log.h"
#include "server/metrics.h"
#include "tests/server/database/jobs_of_tests.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {

class JobPartsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    AD_ASSERT_OK_AND_ASSIGN(std::unique_ptr<SqlPool> pool, OpenPool({.where = ":memory:"}, 1));
    AD_ASSERT_OK_AND_ASSIGN(database_, JobDatabase::Open(std::move(pool)));
    AD_ASSERT_OK_AND_ASSIGN(log_, Log::Create(LogFormat::kText, "off"));
  }
  void Accept(const std::string& name) const {
    const auto answer = database_->Accept(JobOf("anna", name), {}, {});
    ASSERT_THAT(answer.status(), IsOk());
    ASSERT_EQ(answer->kind, AcceptAnswer::Kind::kAccepted);
  }

  std::unique_ptr<JobDatabase> database_;
  std::unique_ptr<Log> log_;
  Metrics metrics_ = Metrics(ThisBuild(), 1);
};

}  // namespace antidiffusion
