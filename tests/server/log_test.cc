#include "server/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>

#include <memory>
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
