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

TEST(Utf8Test, WhatIsNoCharacterIsReplaced) {
  const std::string good = "az\u00df\u6c34\U0001f34c";
  EXPECT_EQ(ToValidUtf8(good), good);
  EXPECT_EQ(ToValidUtf8(""), "");
  EXPECT_EQ(ToValidUtf8("a\xff"
                        "b\xc3"),
            "a\ufffd"
            "b\ufffd");
  EXPECT_EQ(ToValidUtf8("\xc0\xaf"), "\ufffd\ufffd") << "overlong";
  EXPECT_EQ(ToValidUtf8("\xed\xa0\x80"), "\ufffd\ufffd\ufffd") << "a surrogate";
  EXPECT_EQ(ToValidUtf8("\xf4\x8f\xbf\xbf"), "\xf4\x8f\xbf\xbf") << "the last character";
  EXPECT_EQ(ToValidUtf8("\xf4\x90\x80\x80").substr(0, 3), "\ufffd") << "beyond it";
  EXPECT_EQ(ToValidUtf8("\xe6\xb0"
                        "a"),
            "\ufffd\ufffd"
            "a")
      << "cut short";
}

}  // namespace
}  // namespace antidiffusion
