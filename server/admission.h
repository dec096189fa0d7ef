// What a request must be and have to become a job. Runs on gRPC's threads: nothing is decoded, and
// nothing waits. The image is hashed, which takes it a millisecond a megabyte or two.
#pragma once

#include <grpcpp/impl/codegen/server_context.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "antidiffusion/v1/protection.pb.h"
#include "core/image/codec.h"
#include "server/eta_estimator.h"
#include "server/job.h"
#include "server/job_ledger.h"
#include "server/job_queue.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/model_catalogue.h"
#include "server/tenants/tenant_directory.h"
#include "server/tracing/tracer.h"
#include "server/unread_results.h"

namespace antidiffusion {

// Thread-safe.
class Admission {
 public:
  struct Options {
    DecodeLimits limits;
    absl::Duration job_timeout = absl::Hours(24);  // of CreateJob's jobs that name none
    bool result_cache = true;
    int64_t max_job_passes = 0;  // PlannedPasses, where the tenant has no limit of its own; 0: any
  };
  struct Surroundings {  // all of it outlives the admission
    ModelCatalogue& catalogue;
    JobQueue& queue;
    JobLedger& ledger;
    const TenantDirectory& tenants;
    const EtaEstimator& eta;
    const UnreadResults& unread;
    Metrics& metrics;
    const Log& log;
    const Tracer& tracer;
    Job::Clock now;
  };
  // How a request came.
  struct Call {
    const grpc::ServerContextBase& context;
    Rpc rpc;              // kProtect, kCreateJob
    absl::Time arrived;   //
    absl::Time deadline;  // the call's
  };

  Admission(const Options& options, Surroundings surroundings)
      : options_(options), with_(std::move(surroundings)) {}

  // Takes the request's image along, or lets go of it: a call that goes on for long holds none. The
  // job of the request: a new one in the queue, a new one that has ended already (its result
  // was kept), or that of an equal request_id. The caller is counted in the registry. Refusals are
  // counted, traced and logged here. Errors as protection.proto has them for Protect.
  absl::StatusOr<std::shared_ptr<Job>> Admit(const Call& call, v1::ProtectRequest request);

 private:
  absl::StatusOr<std::shared_ptr<Job>> TryAdmit(const Call& call, const TraceContext& trace,
                                                v1::ProtectRequest& request);
  absl::StatusOr<std::shared_ptr<Job>> TakeIn(const Tenant& tenant, JobRequest request,
                                              const ImageHeader& header, absl::Time deadline);
  absl::StatusOr<absl::Time> DeadlineOf(const Call& call, const v1::ProtectRequest& request) const;
  absl::Status CheckDeadline(const JobRequest& job, absl::Time deadline) const;
  absl::Status CheckModels(const JobRequest& job) const;
  absl::Status CheckModel(const JobRequest& job, const std::string& name) const;
  std::string ModelsOf(const JobRequest& job) const;
  void Identify(const v1::ProtectRequest& request, JobRequest& job) const;
  // Pushes, and takes the job's bytes from its tenant's quota where the queue takes the job.
  absl::Status Push(const Tenant& tenant, const std::shared_ptr<Job>& job);
  void LogRefused(const std::string& request_id, size_t bytes, const TraceContext& trace,
                  const absl::Status& status) const;
  void LogAccepted(const Job& job, const ImageHeader& header) const;

  const Options options_;
  const Surroundings with_;
};

}  // namespace antidiffusion
