#include "server/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string>

#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

class LogTest : public ::testing::Test {
 protected:
  std::unique_ptr<Log> Make(LogFormat format, const std::string& level = "info") {
    auto log = Log::Create(format, level, std::make_shared<spdlog::sinks::ostream_sink_mt>(lines_));
    EXPECT_THAT(log, IsOk());
    return *std::move(log);
  }

  std::ostringstream lines_;
};

TEST_F(LogTest, TextLine) {
  Make(LogFormat::kText)->Info("job done", {{"job", "5f"}, {"seconds", 1.5}, {"bytes", 7}});
  EXPECT_THAT(lines_.str(),
              ContainsRegex("^[0-9-]+T[0-9:]+\\.[0-9]{3}Z info job done job=5f seconds=1.5 "
                            "bytes=7\n$"));
}

TEST_F(LogTest, JsonLine) {
  Make(LogFormat::kJson)->Error("it \"broke\"", {{"file", "a\\b"}, {"n", 3}});
  EXPECT_THAT(lines_.str(), HasSubstr(R"("level":"error","message":"it \"broke\"",)"
                                      R"("file":"a\\b","n":3})"));
}

TEST_F(LogTest, NobodyForgesALine) {
  Make(LogFormat::kText)->Info("x", {{"request_id", "a\n2026 error forged=1"}});
  Make(LogFormat::kJson)->Info("x", {{"request_id", "a\",\"level\":\"error\n"}});
  const std::string text = lines_.str();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
  EXPECT_THAT(text, HasSubstr(R"("a\u000a2026 error forged=1")"));
  EXPECT_THAT(text, HasSubstr(R"("a\",\"level\":\"error\u000a")"));
}

TEST_F(LogTest, EveryLineIsJsonWhateverTheBytes) {
  const auto log = Make(LogFormat::kJson, "debug");
  std::string every_byte;
  for (int byte = 0; byte < 256; ++byte) every_byte += static_cast<char>(byte);
  const std::string well_formed = "z\u00df\u6c34\U0001f34c";
  log->Info(every_byte, {{"text", every_byte}, {"fine", well_formed}});
  for (const char* odd : {"\xc3", "\xe6\xb0", "\xf0\x9f\x8d", "\xc0\xaf", "\xed\xa0\x80", "\x80",
                          "\xf5\x80\x80\x80", "\xe0\x80\x80", "\xf4\x90\x80\x80"}) {
    log->Error(odd, {{"text", odd}, {"seconds", std::nan("")}, {"rate", HUGE_VAL}});
  }
  std::istringstream lines(lines_.str());
  std::string line;
  int count = 0;
  while (std::getline(lines, line)) {
    const auto parsed = nlohmann::json::parse(line, nullptr, false);
    ASSERT_TRUE(parsed.is_object()) << line;
    EXPECT_TRUE(parsed.contains("text"));
    if (count == 0) {
      EXPECT_EQ(parsed["fine"], well_formed);
    } else {
      EXPECT_TRUE(parsed["seconds"].is_null());
    }
    ++count;
  }
  EXPECT_EQ(count, 10);
}

TEST_F(LogTest, AFactWithoutATextIsLeftOut) {
  Make(LogFormat::kText)->Info("x", {{"trace_id", std::optional<std::string>()}, {"n", 1}});
  EXPECT_THAT(lines_.str(), HasSubstr("info x n=1\n"));
  Make(LogFormat::kJson)->Info("y", {{"trace_id", std::optional<std::string>("5f")}, {"n", 1}});
  EXPECT_THAT(lines_.str(), HasSubstr(R"("message":"y","trace_id":"5f","n":1})"));
}

TEST_F(LogTest, TheLevelHolds) {
  const auto log = Make(LogFormat::kText, "warning");
  log->Info("quiet");
  log->Warning("loud");
  EXPECT_THAT(lines_.str(), HasSubstr("loud"));
  EXPECT_THAT(lines_.str(), Not(HasSubstr("quiet")));
}

TEST_F(LogTest, AnUnknownLevelIsAnError) {
  EXPECT_THAT(Log::Create(LogFormat::kText, "chatty"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace antidiffusion
