// What a request must be and have to become a job. It is looked at on gRPC's threads, where nothing
// is decoded and nothing waits; what is sound is hashed, and offered to the database, on those of
// the database.
#pragma once

#include <grpcpp/impl/codegen/server_context.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "antidiffusion/v1/protection.pb.h"
#include "core/image/codec.h"
#include "server/database_threads.h"
#include "server/dispatcher.h"
#include "server/eta_estimator.h"
#include "server/job.h"
#include "server/job_acceptance.h"
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
    bool durable = false;        // jobs outlive the process
    int64_t max_job_passes = 0;  // PlannedPasses, where the tenant has no limit of its own; 0: any
  };
  struct Surroundings {  // all of it outlives the admission
    ModelCatalogue& catalogue;
    const Dispatcher& dispatcher;
    DatabaseThreads& threads;
    JobAcceptance& acceptance;
    const QueueOutlook& outlook;
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

  using Then = std::function<void(absl::StatusOr<std::shared_ptr<Job>> job)>;

  // Takes the request's image along, or lets go of it: a call that goes on for long holds none.
  // `then` is called once, on any thread, with the job of the request: a new one, a new one that
  // has ended already (its result was kept), or that of an equal request_id. The caller is counted
  // among the job's. Refusals are counted, traced and logged here. Errors as protection.proto has
  // them for Protect.
  void Admit(const Call& call, v1::ProtectRequest request, const Then& then);

 private:
  // A request that is sound in itself.
  struct Sound {
    v1::ProtectRequest request;
    JobRequest job;
    std::shared_ptr<const Tenant> tenant;
    ImageHeader header;
    absl::Time deadline;
  };
  absl::StatusOr<Sound> Look(const Call& call, const TraceContext& trace,
                             v1::ProtectRequest& request);
  absl::StatusOr<std::shared_ptr<Job>> Offer(Sound& sound);
  absl::StatusOr<absl::Time> DeadlineOf(const Call& call, const v1::ProtectRequest& request) const;
  // Why the job is not to wait here.
  absl::Status CheckWaiting(const Sound& sound) const;
  absl::Status CheckDeadline(const JobRequest& job, absl::Time deadline) const;
  absl::Status CheckModels(const JobRequest& job) const;
  absl::Status CheckModel(const std::string& name, const JobRequest& job) const;
  // What a refusal is told by: the request itself may be gone.
  struct Refused {
    std::string request_id;
    size_t bytes = 0;
    TraceContext trace;
  };
  void Refuse(const Refused& refused, const absl::Status& status) const;
  void LogAccepted(const Job& job, const ImageHeader& header) const;

  const Options options_;
  const Surroundings with_;
};

}  // namespace antidiffusion
