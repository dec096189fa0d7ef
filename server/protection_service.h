// The service itself: cheap checks on gRPC's threads, then the queue.
#pragma once

#include <memory>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "antidiffusion/v1/protection.grpc.pb.h"
#include "core/base/mutex.h"
#include "core/image/codec.h"
#include "server/eta_estimator.h"
#include "server/job.h"
#include "server/job_call.h"
#include "server/job_queue.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/model_catalogue.h"
#include "server/tenants/tenant_directory.h"
#include "server/tracing/tracer.h"

namespace antidiffusion {

// What the service works with; all of it outlives the service.
struct ServiceSurroundings {
  DecodeLimits limits;
  ModelCatalogue& catalogue;
  JobQueue& queue;
  const TenantDirectory& tenants;
  const EtaEstimator& eta;
  Metrics& metrics;
  const Log& log;
  const Tracer& tracer;
  Job::Clock now;
};

// Callback API: nothing here decodes, waits or touches a disk. Outlives the gRPC server and every
// job that it admitted.
class ProtectionService final : public v1::ProtectionService::CallbackService {
 public:
  explicit ProtectionService(const ServiceSurroundings& surroundings);

  grpc::ServerWriteReactor<v1::JobEvent>* Protect(grpc::CallbackServerContext* context,
                                                  const v1::ProtectRequest* request) override
      ABSL_LOCKS_EXCLUDED(mutex_);

  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const v1::ListModelsRequest* request,
                                       v1::ListModelsResponse* response) override;

  // About every second: ends waiting jobs whose deadline has passed, keeps streams alive, ends
  // those that nobody reads.
  void Tick(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends every waiting job and stops the running ones before their next step, with `why`.
  void CancelAll(const absl::Status& why);

  // False when streams are still open after `timeout`.
  bool WaitIdle(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // `right` is what the RPC needs.
  absl::StatusOr<std::shared_ptr<Job>> Admit(const grpc::ServerContextBase& context, Right right,
                                             const v1::ProtectRequest& request, absl::Time deadline,
                                             const TraceContext& trace);
  absl::Status CheckDeadline(const JobRequest& job, absl::Time deadline) const;
  // Pushes, and takes the job's bytes from its tenant's quota where the queue takes the job.
  absl::Status Push(const Tenant& tenant, const std::shared_ptr<Job>& job);
  void CancelJob(Job& job, const absl::Status& why);
  void OnJobFinished(const Job& job, const absl::Status& status);

  const ServiceSurroundings with_;
  const JobCall::Hooks hooks_;
  Mutex mutex_;
  CondVar idle_;
  std::unordered_map<JobCall*, std::unique_ptr<JobCall>> calls_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace antidiffusion
