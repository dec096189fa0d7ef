// The service's own errors: code, reason and what a caller should do next, in one place. Reasons
// are the values of google.rpc.ErrorInfo.reason and of the metrics' `reason` labels.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace antidiffusion {

namespace reason {
inline constexpr char kInvalidField[] = "INVALID_FIELD";
inline constexpr char kModelNotFound[] = "MODEL_NOT_FOUND";
inline constexpr char kModelLoading[] = "MODEL_LOADING";
inline constexpr char kModelFailed[] = "MODEL_FAILED";
inline constexpr char kDraining[] = "DRAINING";
inline constexpr char kShutdown[] = "SERVER_SHUTDOWN";
inline constexpr char kQueueFull[] = "QUEUE_FULL";
inline constexpr char kQueueBytesFull[] = "QUEUE_BYTES_FULL";
inline constexpr char kTenantQueueFull[] = "TENANT_QUEUE_FULL";
inline constexpr char kTenantRate[] = "TENANT_RATE";
inline constexpr char kTenantBytes[] = "TENANT_BYTES";
inline constexpr char kDeadlinePassed[] = "DEADLINE_PASSED";
inline constexpr char kDeadlineUnreachable[] = "DEADLINE_UNREACHABLE";
inline constexpr char kCancelled[] = "CANCELLED";
inline constexpr char kDeviceMemory[] = "DEVICE_MEMORY";  // given by the engine
inline constexpr char kWorkerDied[] = "WORKER_DIED";      // these three: given by the engine
inline constexpr char kWorkerHung[] = "WORKER_HUNG";
inline constexpr char kDeviceFault[] = "DEVICE_FAULT";
inline constexpr char kWorkerNotStarted[] = "WORKER_NOT_STARTED";
inline constexpr char kWorkerLostTwice[] = "WORKER_LOST_TWICE";
inline constexpr char kBudgetNotKept[] = "BUDGET_NOT_KEPT";
inline constexpr char kVisibilityNotKept[] = "VISIBILITY_NOT_KEPT";
inline constexpr char kInternal[] = "INTERNAL";
inline constexpr char kJobNotFound[] = "JOB_NOT_FOUND";
inline constexpr char kJobNotEnded[] = "JOB_NOT_ENDED";
inline constexpr char kNoResult[] = "NO_RESULT";
inline constexpr char kJobCancelled[] = "JOB_CANCELLED";
inline constexpr char kRequestIdReused[] = "REQUEST_ID_REUSED";
inline constexpr char kStoreFailed[] = "STORE_FAILED";
inline constexpr char kServerLostTwice[] = "SERVER_LOST_TWICE";
inline constexpr char kLeaseLost[] = "LEASE_LOST";
inline constexpr char kResultsFull[] = "RESULTS_FULL";
inline constexpr char kResultsUnread[] = "RESULTS_UNREAD";
}  // namespace reason

// UNAVAILABLE: the server is on its way out; another one, or this one restarted, will do.
absl::Status DrainingError();
// UNAVAILABLE: the job was ended by a server that could not wait any longer.
absl::Status ShutdownError();
// The same for one that is kept in the job store, with which its next start or another server goes
// on.
absl::Status HandedBackError();
// UNAVAILABLE: not loaded yet.
absl::Status ModelLoadingError(const std::string& model);
// UNAVAILABLE: loading failed. It is not tried again, so a retry at this server makes no sense.
absl::Status ModelFailedError(const std::string& model);
// NOT_FOUND with the resource's name.
absl::Status ModelNotFoundError(const std::string& model);
// RESOURCE_EXHAUSTED; `retry_delay` is when a place is expected to be free.
absl::Status QueueFullError(size_t limit, absl::Duration retry_delay);
absl::Status QueueBytesFullError(int64_t limit, absl::Duration retry_delay);
// The same for what one tenant may have waiting.
absl::Status TenantQueueFullError(size_t limit, absl::Duration retry_delay);
absl::Status TenantQueueBytesFullError(int64_t limit, absl::Duration retry_delay);
// RESOURCE_EXHAUSTED: too many requests of this tenant; `retry_delay` is when it may send one.
absl::Status TenantRateError(absl::Duration retry_delay);
// RESOURCE_EXHAUSTED: too many bytes of this tenant in 24 hours; `retry_delay` is when there is
// room for these, infinite: never.
absl::Status TenantBytesError(int64_t limit, absl::Duration retry_delay);
// DEADLINE_EXCEEDED, `stage`: admission, queue, running, or the engine's. `facts` join the
// metadata.
absl::Status DeadlinePassedError(const std::string& stage,
                                 const std::map<std::string, std::string>& facts = {});
// DEADLINE_EXCEEDED at admission: the jobs before this one need longer than the caller waits.
absl::Status DeadlineUnreachableError(double eta_seconds);
// CANCELLED: the caller closed its call.
absl::Status CallerGoneError();
// CANCELLED: by CancelJob.
absl::Status JobCancelledError();
// NOT_FOUND with the resource's name: no such job, or none of this tenant's.
absl::Status JobNotFoundError(const std::string& name);
// FAILED_PRECONDITION: it waits or runs.
absl::Status JobNotEndedError(const std::string& name);
// FAILED_PRECONDITION: it has none (yet). `state`: the job's, as protection.proto calls it.
absl::Status NoResultError(const std::string& name, const std::string& state);
// ALREADY_EXISTS: the request_id came before with another request.
absl::Status RequestIdReusedError(const std::string& request_id);
// UNAVAILABLE: the job database could not be written or read for the reason of `why`.
absl::Status StoreFailedError(const absl::Status& why);
// RESOURCE_EXHAUSTED: slow readers hold too many bytes of results for new work to be taken in.
absl::Status ResultsUnreadError();
// RESOURCE_EXHAUSTED: the tenant's kept results, none of which was read, are as many or as large as
// `limit`. They are to be read or deleted first, so a retry alone makes no sense.
absl::Status ResultsFullError(int64_t limit);
// ABORTED: somebody else has the job; no caller sees it.
absl::Status LeaseLostError();
// INTERNAL: the server itself ended twice while the job ran.
absl::Status ServerLostTwiceError();
// INTERNAL: the proof of the budget failed, so no image leaves.
absl::Status BudgetNotKeptError(const std::string& where, int difference, int bound);
absl::Status VisibilityNotKeptError(double chroma_bias, double limit);

// INTERNAL: the worker was lost under this job for the second time, now for the reason of `lost`. A
// retry may harm the next one.
absl::Status WorkerLostTwiceError(const absl::Status& lost);

// The reason attached to `status`, else the one its code stands for. "" for OK.
std::string ReasonOf(const absl::Status& status);

// "CODE: message", without the details meant for programs.
std::string TextOf(const absl::Status& status);

// `status` with the time after which a retry makes sense.
absl::Status WithRetryDelay(absl::Status status, absl::Duration delay);
std::optional<absl::Duration> GetRetryDelay(const absl::Status& status);

// The thing that was not found.
struct MissingResource {
  std::string type;  // model, job
  std::string name;
};
std::optional<MissingResource> GetMissingResource(const absl::Status& status);

}  // namespace antidiffusion
