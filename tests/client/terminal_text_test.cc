#include "client/terminal_text.h"

#include <gtest/gtest.h>

namespace antidiffusion {
namespace {

TEST(PrintableTextTest, TakesThePowerFromControlCharacters) {
  EXPECT_EQ(PrintableText("a\nb\tc"), "a b c");
  EXPECT_EQ(PrintableText("\x1b[31mred\x7f"), "?[31mred?");
  EXPECT_EQ(PrintableText("\xc2\x9b"
                          "31m"),
            "?31m");  // the C1 form of escape and [
  EXPECT_EQ(PrintableText("Stra\xc3\x9f"
                          "e \xe2\x82\xac"),
            "Stra\xc3\x9f"
            "e \xe2\x82\xac");
}

TEST(LastCharactersTest, CutsBetweenCharacters) {
  EXPECT_EQ(LastCharacters("photo.jpg", 9), "photo.jpg");
  EXPECT_EQ(LastCharacters("photo.jpg", 8), "...o.jpg");
  EXPECT_EQ(LastCharacters("\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f", 4),
            "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f");
  EXPECT_EQ(LastCharacters("\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f!", 4), "...!");
  EXPECT_EQ(LastCharacters("photo.jpg", 2), "..");
}

TEST(FormatSecondsTest, ReadsAsAClock) {
  EXPECT_EQ(FormatSeconds(absl::Milliseconds(6600)), "7 s");
  EXPECT_EQ(FormatSeconds(absl::Seconds(65)), "1:05");
  EXPECT_EQ(FormatSeconds(absl::Seconds(3723)), "1:02:03");
  EXPECT_EQ(FormatSeconds(absl::Milliseconds(59700)), "1:00");
  EXPECT_EQ(FormatSeconds(-absl::Seconds(5)), "0 s");
  EXPECT_EQ(FormatSeconds(absl::InfiniteDuration()), "277777:46:40");
}

}  // namespace
}  // namespace antidiffusion
