#include "core/base/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace antidiffusion {
namespace {

constexpr char kMixed[] = "a\u00e9\u20ac\U0001F600";  // 1, 2, 3 and 4 bytes

TEST(Utf8Test, CountsCharactersNotBytes) {
  EXPECT_EQ(CountCharacters(""), 0u);
  EXPECT_EQ(CountCharacters("abc"), 3u);
  EXPECT_EQ(CountCharacters(kMixed), 4u);
}

TEST(Utf8Test, TruncatesBetweenCharacters) {
  const std::string text = kMixed;
  ASSERT_EQ(text.size(), 10u);
  const size_t lengths[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};
  for (size_t limit = 0; limit < std::size(lengths); ++limit) {
    EXPECT_EQ(TruncateUtf8(text, limit), text.substr(0, lengths[limit])) << limit;
  }
}

TEST(Utf8Test, TextWithoutAnyStartOfACharacterBecomesEmpty) {
  EXPECT_EQ(TruncateUtf8("\x80\x80\x80", 2), "");
}

}  // namespace
}  // namespace antidiffusion
