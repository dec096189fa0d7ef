#include "server/tracing/trace_context.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace antidiffusion {
namespace {

// version "-" trace-id "-" parent-id "-" trace-flags
constexpr size_t kTraceAt = 3;
constexpr size_t kParentAt = 36;
constexpr size_t kFlagsAt = 53;
constexpr size_t kLength = 55;

bool IsHex(absl::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool IsId(absl::string_view text) {
  return IsHex(text) && text.find_first_not_of('0') != absl::string_view::npos;
}

int HexDigit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

bool HasKnownShape(absl::string_view header) {
  if (header.size() < kLength) return false;
  const absl::string_view version = header.substr(0, 2);
  if (!IsHex(version) || version == "ff") return false;
  if (header[2] != '-' || header[kParentAt - 1] != '-' || header[kFlagsAt - 1] != '-') return false;
  if (header.size() == kLength) return true;
  return version != "00" && header[kLength] == '-';  // a later version may say more
}

}  // namespace

std::optional<TraceContext> ParseTraceParent(absl::string_view header) {
  if (!HasKnownShape(header)) return std::nullopt;
  const absl::string_view trace_id = header.substr(kTraceAt, 32);
  const absl::string_view parent_id = header.substr(kParentAt, 16);
  const absl::string_view flags = header.substr(kFlagsAt, 2);
  if (!IsId(trace_id) || !IsId(parent_id) || !IsHex(flags)) return std::nullopt;
  return TraceContext{.trace_id = std::string(trace_id),
                      .parent_id = std::string(parent_id),
                      .span_id = "",
                      .sampled = HexDigit(flags[1]) % 2 == 1,
                      .start = {}};
}

std::string TraceParentOf(const TraceContext& trace) {
  if (trace.trace_id.empty()) return "";
  return absl::StrCat("00-", trace.trace_id, "-", trace.span_id, trace.sampled ? "-01" : "-00");
}

// traceparent of the own span, the caller's span, the start.
std::string ToText(const TraceContext& trace) {
  if (trace.trace_id.empty()) return "";
  return absl::StrCat(TraceParentOf(trace), " ", trace.parent_id, " ",
                      absl::ToUnixNanos(trace.start));
}

TraceContext TraceOfText(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ' ');
  int64_t start = 0;
  if (parts.size() != 3 || !absl::SimpleAtoi(parts[2], &start)) return {};
  std::optional<TraceContext> trace = ParseTraceParent(parts[0]);
  if (!trace.has_value()) return {};
  trace->span_id = std::exchange(trace->parent_id, std::string(parts[1]));
  trace->start = absl::FromUnixNanos(start);
  return *std::move(trace);
}

}  // namespace antidiffusion
