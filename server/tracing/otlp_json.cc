#include "server/tracing/otlp_json.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"

namespace antidiffusion {
namespace {

using Json = nlohmann::json;

// Of protobuf's enums, which OTLP writes as numbers.
constexpr int kKindInternal = 1;
constexpr int kKindServer = 2;
constexpr int kStatusError = 2;

constexpr char kScope[] = "antidiffusion";

// Protobuf's JSON has words for what JSON's numbers cannot say.
Json DoubleValue(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

Json Value(const SpanAttribute& attribute) {
  if (const auto* text = std::get_if<std::string>(&attribute.second)) {
    return {{"stringValue", *text}};
  }
  if (const auto* number = std::get_if<int64_t>(&attribute.second)) {
    return {{"intValue", std::to_string(*number)}};  // 64 bits: a string in protobuf's JSON
  }
  return {{"doubleValue", DoubleValue(std::get<double>(attribute.second))}};
}

Json Attributes(const std::vector<SpanAttribute>& attributes) {
  Json list = Json::array();
  for (const SpanAttribute& attribute : attributes) {
    list.push_back({{"key", attribute.first}, {"value", Value(attribute)}});
  }
  return list;
}

std::string Nanoseconds(absl::Time time) { return std::to_string(absl::ToUnixNanos(time)); }

Json ToJson(const Span& span) {
  Json json = {{"traceId", span.trace_id},
               {"spanId", span.span_id},
               {"name", span.facts.name},
               {"kind", span.is_server ? kKindServer : kKindInternal},
               {"startTimeUnixNano", Nanoseconds(span.facts.start)},
               {"endTimeUnixNano", Nanoseconds(span.facts.end)},
               {"attributes", Attributes(span.facts.attributes)},
               {"status", Json::object()}};
  if (!span.parent_id.empty()) json["parentSpanId"] = span.parent_id;
  if (!span.facts.error.empty()) {
    json["status"] = {{"code", kStatusError}, {"message", span.facts.error}};
  }
  return json;
}

}  // namespace

std::string OtlpJson(const std::vector<Span>& spans, const std::vector<SpanAttribute>& resource) {
  Json list = Json::array();
  for (const Span& span : spans) list.push_back(ToJson(span));
  const Json of_scope = {{"scope", {{"name", kScope}}}, {"spans", std::move(list)}};
  const Json of_resource = {{"resource", {{"attributes", Attributes(resource)}}},
                            {"scopeSpans", Json::array({of_scope})}};
  const Json request = {{"resourceSpans", Json::array({of_resource})}};
  return request.dump(-1, ' ', false, Json::error_handler_t::replace);
}

int64_t RejectedSpans(const std::string& response) {
  const Json parsed = Json::parse(response, nullptr, false);
  const Json::json_pointer path("/partialSuccess/rejectedSpans");
  if (!parsed.is_object() || !parsed.contains(path)) return 0;
  const Json& count = parsed[path];
  if (count.is_number_integer()) return count.get<int64_t>();
  int64_t value = 0;
  return count.is_string() && absl::SimpleAtoi(count.get<std::string>(), &value) ? value : 0;
}

}  // namespace antidiffusion
