#include "server/tracing/otlp_json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

namespace antidiffusion {
namespace {

using nlohmann::json;

Span SpanOfStage() {
  Span span;
  span.trace_id = "0af7651916cd43dd8448eb211c80319c";
  span.span_id = "00f067aa0ba902b7";
  span.parent_id = "b7ad6b7169203331";
  span.facts.name = "decode";
  span.facts.start = absl::FromUnixNanos(1'700'000'000'123'456'789);
  span.facts.end = absl::FromUnixNanos(1'700'000'001'000'000'001);
  return span;
}

TEST(OtlpJsonTest, FollowsTheMappingOfOtlp) {
  Span span = SpanOfStage();
  span.facts.attributes = {{"text", "a \"b\""}, {"whole", int64_t{1} << 60}, {"real", 0.5}};
  const json expected = json::parse(R"({"resourceSpans": [{
    "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "antidiffusion"}}]},
    "scopeSpans": [{
      "scope": {"name": "antidiffusion"},
      "spans": [{
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": "00f067aa0ba902b7",
        "parentSpanId": "b7ad6b7169203331",
        "name": "decode",
        "kind": 1,
        "startTimeUnixNano": "1700000000123456789",
        "endTimeUnixNano": "1700000001000000001",
        "attributes": [
          {"key": "text", "value": {"stringValue": "a \"b\""}},
          {"key": "whole", "value": {"intValue": "1152921504606846976"}},
          {"key": "real", "value": {"doubleValue": 0.5}}],
        "status": {}}]}]}]})");
  EXPECT_EQ(json::parse(OtlpJson({span}, {{"service.name", "antidiffusion"}})), expected);
}

TEST(OtlpJsonTest, TheRootHasNoParentAndAnErrorHasItsCode) {
  Span span = SpanOfStage();
  span.parent_id = "";
  span.is_server = true;
  span.facts.error = "INTERNAL: broken";
  const json body = json::parse(OtlpJson({span, SpanOfStage()}, {}));
  const json& spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"];
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_FALSE(spans[0].contains("parentSpanId"));
  EXPECT_EQ(spans[0]["kind"], 2);
  EXPECT_EQ(spans[0]["status"], json::parse(R"({"code": 2, "message": "INTERNAL: broken"})"));
  EXPECT_EQ(spans[1]["status"], json::object());
}

TEST(OtlpJsonTest, OddNumbersAndBytesStayJson) {
  Span span = SpanOfStage();
  span.facts.error = "\xff\xfe";
  span.facts.attributes = {{"a", std::nan("")},
                           {"b", std::numeric_limits<double>::infinity()},
                           {"c", -std::numeric_limits<double>::infinity()}};
  const json body = json::parse(OtlpJson({span}, {}));
  const json& attributes = body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"];
  EXPECT_EQ(attributes[0]["value"]["doubleValue"], "NaN");
  EXPECT_EQ(attributes[1]["value"]["doubleValue"], "Infinity");
  EXPECT_EQ(attributes[2]["value"]["doubleValue"], "-Infinity");
}

TEST(OtlpJsonTest, ReadsHowManySpansWereRejected) {
  EXPECT_EQ(RejectedSpans(R"({"partialSuccess": {"rejectedSpans": "3", "errorMessage": "x"}})"), 3);
  EXPECT_EQ(RejectedSpans(R"({"partialSuccess": {"rejectedSpans": 4}})"), 4);
  for (const char* silent :
       {"", "{}", "[]", "nonsense", R"({"partialSuccess": {}})",
        R"({"partialSuccess": {"rejectedSpans": "x"}})",
        R"({"partialSuccess": {"rejectedSpans": {}}})", R"({"partialSuccess": 1})"}) {
    EXPECT_EQ(RejectedSpans(silent), 0) << silent;
  }
}

}  // namespace
}  // namespace antidiffusion
