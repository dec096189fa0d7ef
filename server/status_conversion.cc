#include "server/status_conversion.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "core/base/status_details.h"
#include "google/rpc/error_details.pb.h"
#include "server/errors.h"

namespace antidiffusion {
namespace {

// Whether asking this server once more would end the same way.
bool IsPermanent(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  if (reason == reason::kTenantBytes) return !GetRetryDelay(status).has_value();
  return reason == reason::kDeviceMemory || reason == reason::kModelFailed;
}

void AddErrorInfo(const absl::Status& status, google::rpc::Status* rich) {
  google::rpc::ErrorInfo info;
  info.set_reason(ReasonOf(status));
  info.set_domain("antidiffusion");
  if (const auto given = GetErrorReason(status)) {
    for (const auto& [key, value] : given->metadata) (*info.mutable_metadata())[key] = value;
  } else if (const auto field = GetFieldViolation(status)) {
    (*info.mutable_metadata())["field"] = field->field;
    (*info.mutable_metadata())["value"] = field->value;
    (*info.mutable_metadata())["limit"] = field->limit;
  }
  rich->add_details()->PackFrom(info);
}

}  // namespace

google::rpc::Status ToRichStatus(const absl::Status& status) {
  google::rpc::Status rich;
  rich.set_code(static_cast<int>(status.code()));
  rich.set_message(std::string(status.message()));
  AddErrorInfo(status, &rich);
  if (const auto field = GetFieldViolation(status)) {
    google::rpc::BadRequest bad_request;
    auto* violation = bad_request.add_field_violations();
    violation->set_field(field->field);
    violation->set_description(absl::StrCat(field->value, ", allowed: ", field->limit));
    rich.add_details()->PackFrom(bad_request);
  }
  if (const auto delay = GetRetryDelay(status)) {
    google::rpc::RetryInfo retry;
    const absl::Duration seconds = absl::Floor(*delay, absl::Seconds(1));
    retry.mutable_retry_delay()->set_seconds(absl::ToInt64Seconds(seconds));
    retry.mutable_retry_delay()->set_nanos(
        static_cast<int>(absl::ToInt64Nanoseconds(*delay - seconds)));
    rich.add_details()->PackFrom(retry);
  }
  if (const auto missing = GetMissingResource(status)) {
    google::rpc::ResourceInfo resource;
    resource.set_resource_type(missing->type);
    resource.set_resource_name(missing->name);
    resource.set_description(std::string(status.message()));
    rich.add_details()->PackFrom(resource);
  }
  return rich;
}

absl::Status FromRichStatus(const google::rpc::Status& rich) {
  absl::Status status(static_cast<absl::StatusCode>(rich.code()), rich.message());
  for (const google::protobuf::Any& detail : rich.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::RetryInfo retry;
    if (detail.UnpackTo(&info)) {
      const auto& facts = info.metadata();
      if (facts.contains("field") && facts.contains("limit") && facts.contains("value")) {
        return InvalidField(facts.at("field"), facts.at("value"), facts.at("limit"));
      }
      status = WithReason(std::move(status), {info.reason(), {facts.begin(), facts.end()}});
    } else if (detail.UnpackTo(&retry)) {
      status =
          WithRetryDelay(std::move(status), absl::Seconds(retry.retry_delay().seconds()) +
                                                absl::Nanoseconds(retry.retry_delay().nanos()));
    }
  }
  return status;
}

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return {static_cast<grpc::StatusCode>(status.code()), std::string(status.message()),
          ToRichStatus(status).SerializeAsString()};
}

std::string RetryPushback(const absl::Status& status) {
  if (IsPermanent(status)) return "-1";
  const auto delay = GetRetryDelay(status);
  return delay.has_value() ? absl::StrCat(absl::ToInt64Milliseconds(*delay)) : "";
}

}  // namespace antidiffusion
