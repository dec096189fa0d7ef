// A serialised ProtectRequest -> the server's own job, and every error that its text may end up in
// -> the status that goes over the wire.
#include "antidiffusion/v1/protection.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "server/errors.h"
#include "server/request_conversion.h"
#include "server/status_conversion.h"
#include "server/wire/option_conversion.h"
#include "tests/fuzz/fuzz.h"

namespace antidiffusion {
namespace {

void CheckError(const absl::Status& status) {
  const grpc::Status sent = ToGrpcStatus(status);
  Require(static_cast<int>(sent.error_code()) == static_cast<int>(status.code()), "another code");
  google::rpc::Status rich;
  // Fails, too, for text that is no UTF-8.
  Require(rich.ParseFromString(sent.error_details()), "details that nobody can read");
  google::rpc::ErrorInfo info;
  Require(rich.details_size() > 0 && rich.details(0).UnpackTo(&info), "no ErrorInfo");
  Require(!info.reason().empty() && info.domain() == "antidiffusion",
          "an ErrorInfo without reason");
  for (const google::protobuf::Any& detail : rich.details()) {
    google::rpc::BadRequest bad_request;
    google::rpc::ResourceInfo resource;
    google::rpc::RetryInfo retry;
    Require(detail.UnpackTo(&info) || detail.UnpackTo(&bad_request) || detail.UnpackTo(&resource) ||
                detail.UnpackTo(&retry),
            "a detail that nobody can read");
  }
  RetryPushback(status);
}

void CheckJob(const JobRequest& job) {
  Require(job.options.Validate().ok(), "options out of range");
  const v1::ProtectionOptions sent = ToProto(job.options);
  const auto read = ToOptions(sent);
  Require(read.ok() && ToProto(*read).SerializeAsString() == sent.SerializeAsString(),
          "options that a worker reads otherwise");
  Require(job.quality >= 1 && job.quality <= 100, "a quality out of range");
  Require(job.labels.size() <= 16, "too many labels");
  Require(job.request_id.size() <= size_t{4} * 128, "a request_id too long");
}

void Check(absl::string_view bytes) {
  v1::ProtectRequest request;
  if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  const absl::StatusOr<JobRequest> job = ToJobRequest(request);
  if (job.ok()) {
    CheckJob(*job);
  } else {
    Require(absl::IsInvalidArgument(job.status()), "a request's error is not INVALID_ARGUMENT");
    CheckError(job.status());
  }
  CheckError(ModelNotFoundError(request.model()));
  CheckError(ModelLoadingError(request.model()));
  CheckError(DeadlinePassedError("admission", {request.labels().begin(), request.labels().end()}));
}

}  // namespace
}  // namespace antidiffusion

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  antidiffusion::Check(antidiffusion::AsText(data, size));
  return 0;
}
