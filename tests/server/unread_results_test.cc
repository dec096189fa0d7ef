#include "server/unread_results.h"

#include <gtest/gtest.h>

#include <array>

namespace antidiffusion {
namespace {

TEST(UnreadResultsTest, AResultCountsOnceHoweverManyReadersItHas) {
  const std::array<char, 3> readers{};
  const std::array<char, 2> jobs{};
  UnreadResults unread(100);
  unread.Add(&readers[0], &jobs[0], 60);
  unread.Add(&readers[1], &jobs[0], 60);
  EXPECT_EQ(unread.bytes(), 60);
  unread.Add(&readers[2], &jobs[1], 40);
  EXPECT_EQ(unread.bytes(), 100);
  unread.Leave(&readers[0]);
  EXPECT_EQ(unread.bytes(), 100) << "the other one still reads it";
  unread.Leave(&readers[1]);
  EXPECT_EQ(unread.bytes(), 40);
  unread.Leave(&readers[1]);
  unread.Leave(&readers[2]);
  EXPECT_EQ(unread.bytes(), 0);
}

TEST(UnreadResultsTest, IsFullAboveItsLimit) {
  const std::array<char, 2> readers{};
  UnreadResults unread(100);
  unread.Add(&readers[0], &readers[0], 100);
  EXPECT_FALSE(unread.full());
  unread.Add(&readers[1], &readers[1], 1);
  EXPECT_TRUE(unread.full());
  unread.Leave(&readers[0]);
  EXPECT_FALSE(unread.full());
}

}  // namespace
}  // namespace antidiffusion
