#include "tests/server/worker/faults.h"

#include <gtest/gtest.h>

#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

TEST(FaultTableTest, ReadsATable) {
  AD_ASSERT_OK_AND_ASSIGN(
      const FaultTable table,
      FaultTable::Parse("crash@job=2,step=3;hang@step=2;oom@width=96;slow_load=2s;once=/tmp/mark"));
  ASSERT_EQ(table.faults.size(), 3u);
  EXPECT_EQ(table.faults[0].kind, FaultKind::kCrash);
  EXPECT_EQ(table.faults[0].job, 2);
  EXPECT_EQ(table.faults[0].step, 3);
  EXPECT_EQ(table.faults[1].job, std::nullopt);
  EXPECT_EQ(table.faults[1].step, 2);
  EXPECT_EQ(table.faults[2].step, 1);
  EXPECT_EQ(table.faults[2].width, 96);
  EXPECT_EQ(table.slow_load, absl::Seconds(2));
  EXPECT_EQ(table.once, "/tmp/mark");
}

TEST(FaultTableTest, AnEmptyTableHasNoFault) { EXPECT_TRUE(FaultTable::Parse("")->faults.empty()); }

TEST(FaultTableTest, RefusesWhatItDoesNotKnow) {
  for (const char* text :
       {"melt", "crash@step", "crash@step=0", "crash@depth=1", "slow_load=fast"}) {
    EXPECT_THAT(FaultTable::Parse(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

}  // namespace
}  // namespace antidiffusion
