#include "server/result_room.h"

#include <gtest/gtest.h>

#include <array>

namespace antidiffusion {
namespace {

class ResultRoomTest : public ::testing::Test {
 protected:
  using Answer = ResultRoom::Answer;

  Answer Ask(size_t reader, int64_t bytes) { return room_.Ask(&readers_.at(reader), bytes); }
  void Leave(size_t reader) { room_.Leave(&readers_.at(reader)); }

  std::array<char, 6> readers_{};
  ResultRoom room_{100};
};

TEST_F(ResultRoomTest, LetsInWhatFitsAndLinesUpWhatDoesNot) {
  EXPECT_EQ(Ask(0, 60), Answer::kIn);
  EXPECT_EQ(Ask(1, 40), Answer::kIn);
  EXPECT_EQ(Ask(2, 1), Answer::kInLine);
  EXPECT_EQ(Ask(2, 1), Answer::kInLine) << "asking again changes nothing";
  EXPECT_EQ(room_.bytes(), 101);
  Leave(0);
  EXPECT_EQ(Ask(2, 1), Answer::kIn);
  EXPECT_EQ(room_.bytes(), 41);
}

TEST_F(ResultRoomTest, ASmallOneDoesNotOvertakeALargeOne) {
  EXPECT_EQ(Ask(0, 90), Answer::kIn);
  EXPECT_EQ(Ask(1, 50), Answer::kInLine);
  EXPECT_EQ(Ask(2, 5), Answer::kInLine) << "it would fit beside 0";
  Leave(0);
  EXPECT_EQ(Ask(1, 50), Answer::kIn);
  EXPECT_EQ(Ask(2, 5), Answer::kIn);
}

TEST_F(ResultRoomTest, OneLargerThanTheLimitGetsInAlone) {
  EXPECT_EQ(Ask(0, 1000), Answer::kIn);
  EXPECT_EQ(Ask(1, 1), Answer::kInLine);
  Leave(0);
  EXPECT_EQ(Ask(1, 1), Answer::kIn);
  EXPECT_EQ(Ask(2, 1000), Answer::kInLine);
  Leave(1);
  EXPECT_EQ(Ask(2, 1000), Answer::kIn);
}

TEST_F(ResultRoomTest, TheLineHasTheSameLimit) {
  EXPECT_EQ(Ask(0, 100), Answer::kIn);
  EXPECT_EQ(Ask(1, 60), Answer::kInLine);
  EXPECT_EQ(Ask(2, 41), Answer::kFull);
  EXPECT_EQ(Ask(3, 40), Answer::kInLine);
  EXPECT_EQ(room_.bytes(), 200);
}

TEST_F(ResultRoomTest, WhoLeavesTheLineGivesUpItsPlace) {
  EXPECT_EQ(Ask(0, 100), Answer::kIn);
  EXPECT_EQ(Ask(1, 60), Answer::kInLine);
  EXPECT_EQ(Ask(2, 30), Answer::kInLine);
  Leave(1);
  Leave(1);
  Leave(5);
  EXPECT_EQ(room_.bytes(), 130);
  Leave(0);
  EXPECT_EQ(Ask(2, 30), Answer::kIn);
  Leave(2);
  EXPECT_EQ(room_.bytes(), 0);
}

}  // namespace
}  // namespace antidiffusion
