#include "server/tracing/trace_context.h"

#include <gtest/gtest.h>

#include <string>

namespace antidiffusion {
namespace {

constexpr char kTrace[] = "0af7651916cd43dd8448eb211c80319c";
constexpr char kParent[] = "b7ad6b7169203331";
constexpr char kHeader[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

TEST(TraceContextTest, ReadsTheExampleOfTheStandard) {
  const auto trace = ParseTraceParent(kHeader);
  ASSERT_TRUE(trace.has_value());
  EXPECT_EQ(trace->trace_id, kTrace);
  EXPECT_EQ(trace->parent_id, kParent);
  EXPECT_EQ(trace->span_id, "");
  EXPECT_TRUE(trace->sampled);
  EXPECT_EQ(trace->id(), kTrace);
}

TEST(TraceContextTest, OnlyTheLowestFlagMeansSampled) {
  const std::string head = std::string(kHeader).substr(0, 53);
  EXPECT_FALSE(ParseTraceParent(head + "00")->sampled);
  EXPECT_FALSE(ParseTraceParent(head + "fe")->sampled);
  EXPECT_TRUE(ParseTraceParent(head + "ff")->sampled);
  EXPECT_TRUE(ParseTraceParent(head + "0b")->sampled);
}

TEST(TraceContextTest, ALaterVersionMaySayMore) {
  const std::string rest = std::string(kHeader).substr(2);
  EXPECT_EQ(ParseTraceParent("cc" + rest)->trace_id, kTrace);
  EXPECT_EQ(ParseTraceParent("cc" + rest + "-what-ever")->parent_id, kParent);
  EXPECT_FALSE(ParseTraceParent("cc" + rest + ".what").has_value());
  EXPECT_FALSE(ParseTraceParent("00" + rest + "-more").has_value()) << "not in version 00";
}

TEST(TraceContextTest, IgnoresWhatTheStandardCallsInvalid) {
  const std::string header = kHeader;
  for (size_t length = 0; length < header.size(); ++length) {
    EXPECT_FALSE(ParseTraceParent(header.substr(0, length)).has_value()) << length;
  }
  for (size_t i = 0; i < header.size(); ++i) {
    for (const char odd : {'A', 'g', ' ', '\0', '\xff'}) {
      std::string broken = header;
      broken[i] = odd;
      EXPECT_FALSE(ParseTraceParent(broken).has_value()) << broken;
    }
  }
  EXPECT_FALSE(ParseTraceParent("ff" + header.substr(2)).has_value());
  EXPECT_FALSE(ParseTraceParent("00-" + std::string(32, '0') + header.substr(35)).has_value());
  EXPECT_FALSE(ParseTraceParent(header.substr(0, 36) + std::string(16, '0') + "-01").has_value());
}

TEST(TraceContextTest, SurvivesAJournal) {
  TraceContext trace = *ParseTraceParent(kHeader);
  trace.span_id = "00f067aa0ba902b7";
  trace.start = absl::FromUnixNanos(1'700'000'000'123'456'789);
  for (const char* parent : {kParent, ""}) {
    trace.parent_id = parent;
    const TraceContext back = TraceOfText(ToText(trace));
    EXPECT_EQ(back.trace_id, kTrace);
    EXPECT_EQ(back.parent_id, parent);
    EXPECT_EQ(back.span_id, "00f067aa0ba902b7");
    EXPECT_TRUE(back.sampled);
    EXPECT_EQ(back.start, trace.start);
  }
  EXPECT_EQ(ToText({}), "");
  for (const char* broken : {"", "x", "a b c", "00-0-0-0 a 1"}) {
    EXPECT_EQ(TraceOfText(broken).id(), std::nullopt) << broken;
  }
}

TEST(TraceContextTest, GoesOnBelowItsOwnSpan) {
  TraceContext trace = *ParseTraceParent(kHeader);
  trace.span_id = "00f067aa0ba902b7";
  EXPECT_EQ(TraceParentOf(trace), "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01");
  trace.sampled = false;
  EXPECT_EQ(TraceParentOf(trace), "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00");
  EXPECT_EQ(TraceParentOf({}), "");
  EXPECT_EQ(TraceContext().id(), std::nullopt);
}

}  // namespace
}  // namespace antidiffusion
