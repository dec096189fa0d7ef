#include "core/base/status_details.h"

#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/utf8.h"

namespace antidiffusion {
namespace {

constexpr char kFieldUrl[] = "antidiffusion/field-violation";
constexpr char kReasonUrl[] = "antidiffusion/error-reason";
constexpr char kSeparator = '\x1f';  // ASCII unit separator: in no name, limit or number
constexpr size_t kMaxValueLength = 200;

std::string WithoutSeparator(absl::string_view text) {
  std::string clean = TruncateUtf8(text, kMaxValueLength);
  for (char& c : clean) {
    if (c == kSeparator) c = ' ';
  }
  return clean;
}

std::optional<std::vector<std::string>> Payload(const absl::Status& status, const char* url) {
  const absl::optional<absl::Cord> cord = status.GetPayload(url);
  if (!cord.has_value()) return std::nullopt;
  return std::vector<std::string>(absl::StrSplit(std::string(*cord), kSeparator));
}

}  // namespace

absl::Status InvalidField(absl::string_view field, absl::string_view value,
                          absl::string_view limit) {
  const std::vector<std::string> parts = {WithoutSeparator(field), WithoutSeparator(value),
                                          WithoutSeparator(limit)};
  absl::Status status =
      absl::InvalidArgumentError(absl::StrCat(parts[0], ": ", parts[1], ", allowed: ", parts[2]));
  status.SetPayload(kFieldUrl, absl::Cord(absl::StrJoin(parts, std::string(1, kSeparator))));
  return status;
}

std::optional<FieldViolation> GetFieldViolation(const absl::Status& status) {
  const auto parts = Payload(status, kFieldUrl);
  if (!parts.has_value() || parts->size() != 3) return std::nullopt;
  return FieldViolation{(*parts)[0], (*parts)[1], (*parts)[2]};
}

absl::Status WithReason(absl::Status status, const ErrorReason& reason) {
  if (status.ok()) return status;
  std::vector<std::string> parts = {WithoutSeparator(reason.reason)};
  for (const auto& [key, value] : reason.metadata) {
    parts.push_back(WithoutSeparator(key));
    parts.push_back(WithoutSeparator(value));
  }
  status.SetPayload(kReasonUrl, absl::Cord(absl::StrJoin(parts, std::string(1, kSeparator))));
  return status;
}

std::optional<ErrorReason> GetErrorReason(const absl::Status& status) {
  const auto parts = Payload(status, kReasonUrl);
  if (!parts.has_value() || parts->size() % 2 != 1) return std::nullopt;
  ErrorReason reason{parts->front(), {}};
  for (size_t i = 1; i < parts->size(); i += 2) reason.metadata[(*parts)[i]] = (*parts)[i + 1];
  return reason;
}

}  // namespace antidiffusion
