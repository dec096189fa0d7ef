#include "core/base/file.h"

#include "core/base/json_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

TEST(ReadFileTest, GivesTheBytes) {
  const TempDir dir;
  const std::string bytes("a\0b\n", 4);
  AD_ASSERT_OK_AND_ASSIGN(const std::string read, ReadFile(dir.Write("f", bytes), 4));
  EXPECT_EQ(read, bytes);
}

TEST(ReadFileTest, RefusesWhatIsMissingTooLongOrAFolder) {
  const TempDir dir;
  EXPECT_THAT(ReadFile(dir.File("none"), 4), StatusIs(kNotFound));
  EXPECT_THAT(ReadFile(dir.Write("f", "12345"), 4), StatusIs(kDataLoss, "5 bytes, limit 4"));
  EXPECT_THAT(ReadFile(dir.path(), 4), StatusIs(kDataLoss, "not a file"));
}

TEST(ReadJsonFileTest, ReadsAnObject) {
  const TempDir dir;
  AD_ASSERT_OK_AND_ASSIGN(
      const nlohmann::json json,
      ReadJsonFile(dir.Write("f", R"({"a": {"x": 1}, "b": [{"x": 2}, {"x": 3}], "x": 4})"), 100));
  EXPECT_EQ(json["a"]["x"], 1);
  EXPECT_EQ(json["b"][1]["x"], 3);
  EXPECT_EQ(json["x"], 4);
}

TEST(ReadJsonFileTest, RefusesABrokenDocument) {
  const TempDir dir;
  EXPECT_THAT(ReadJsonFile(dir.File("none"), 100), StatusIs(kNotFound));
  for (const char* text : {"", "{", "[1]", "3", "{} {}", "{\"a\": NaN}", "{\"a\": \"\xff\"}"}) {
    EXPECT_THAT(ReadJsonFile(dir.Write("f", text), 100), StatusIs(kDataLoss, "no JSON object"))
        << text;
  }
}

TEST(ReadJsonFileTest, RefusesARepeatedKeyOnlyWithinOneObject) {
  const TempDir dir;
  EXPECT_THAT(ReadJsonFile(dir.Write("f", R"({"a": 1, "b": {"a": 2}, "a": 3})"), 100),
              StatusIs(kDataLoss, "repeated"));
  EXPECT_THAT(ReadJsonFile(dir.Write("f", R"({"b": {"a": 2, "a": 2}})"), 100),
              StatusIs(kDataLoss, "repeated"));
  EXPECT_THAT(ReadJsonFile(dir.Write("f", R"({"a": 1, "b": {"a": 2, "b": {"b": 3}}})"), 100),
              IsOk());
}

TEST(ReadJsonFileTest, RefusesDeepNesting) {
  const TempDir dir;
  constexpr int kDepth = 1'000'000;
  const std::string deep = "{\"a\":" + std::string(kDepth, '[') + std::string(kDepth, ']') + "}";
  EXPECT_THAT(ReadJsonFile(dir.Write("f", deep), 10'000'000), StatusIs(kDataLoss, "deep"));
  std::string objects;
  for (int i = 0; i < 1000; ++i) objects += "{\"a\":";
  EXPECT_THAT(ReadJsonFile(dir.Write("f", objects + "1" + std::string(1000, '}')), 10'000'000),
              StatusIs(kDataLoss, "deep"));
}

}  // namespace
}  // namespace antidiffusion
