#include "tests/server/store/store_faults.h"

#include <gtest/gtest.h>

#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

TEST(StoreFaultsTest, ReadsItsEntriesAndLeavesOthers) {
  AD_ASSERT_OK_AND_ASSIGN(const StoreFaults faults,
                          StoreFaults::Parse("crash@step=3;disk_full@write=2..4;slow_write=200ms"));
  EXPECT_EQ(faults.first_full, 2);
  EXPECT_EQ(faults.last_full, 4);
  EXPECT_EQ(faults.slow_write, absl::Milliseconds(200));
  EXPECT_EQ(StoreFaults::Parse("disk_full@write=3")->last_full, 3);
  EXPECT_EQ(StoreFaults::Parse("")->first_full, 0);
}

TEST(StoreFaultsTest, WhatItCannotReadIsAnError) {
  for (const char* text : {"disk_full", "disk_full@write=x", "disk_full@write=0", "slow_write=2"}) {
    EXPECT_THAT(StoreFaults::Parse(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

}  // namespace
}  // namespace antidiffusion
