// The service itself: who calls, and what of the ledger answers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "antidiffusion/v1/protection.grpc.pb.h"
#include "server/admission.h"
#include "server/job.h"
#include "server/job_call.h"
#include "server/job_ledger.h"
#include "server/metrics.h"
#include "server/model_catalogue.h"
#include "server/reader_calls.h"
#include "server/tenants/tenant_directory.h"
#include "server/unread_results.h"

namespace antidiffusion {

// What the service works with; all of it outlives the service.
struct ServiceSurroundings {
  Admission& admission;
  JobLedger& ledger;
  const ModelCatalogue& catalogue;
  const TenantDirectory& tenants;
  UnreadResults& unread;
  Metrics& metrics;
  Job::Clock now;
};

// Callback API: nothing here decodes, waits or touches a disk. Outlives the gRPC server.
class ProtectionService final : public v1::ProtectionService::CallbackService {
 public:
  explicit ProtectionService(const ServiceSurroundings& surroundings);

  using Context = grpc::CallbackServerContext;
  using Stream = grpc::ServerWriteReactor<v1::JobEvent>;

  Stream* Protect(Context* context, const v1::ProtectRequest* request) override;
  Stream* WatchJob(Context* context, const v1::WatchJobRequest* request) override;
  Stream* DownloadResult(Context* context, const v1::DownloadResultRequest* request) override;

  grpc::ServerUnaryReactor* CreateJob(Context* context, const v1::ProtectRequest* request,
                                      v1::Job* response) override;
  grpc::ServerUnaryReactor* GetJob(Context* context, const v1::GetJobRequest* request,
                                   v1::Job* response) override;
  grpc::ServerUnaryReactor* ListJobs(Context* context, const v1::ListJobsRequest* request,
                                     v1::ListJobsResponse* response) override;
  grpc::ServerUnaryReactor* CancelJob(Context* context, const v1::CancelJobRequest* request,
                                      v1::Job* response) override;
  grpc::ServerUnaryReactor* DeleteJob(Context* context, const v1::DeleteJobRequest* request,
                                      google::protobuf::Empty* response) override;
  grpc::ServerUnaryReactor* ListModels(Context* context, const v1::ListModelsRequest* request,
                                       v1::ListModelsResponse* response) override;

  // The streams.
  ReaderCalls& calls() { return calls_; }

 private:
  // Ends a unary call, once, on any thread.
  using Finish = std::function<void(const absl::Status& status)>;
  struct Answer {
    grpc::ServerUnaryReactor* reactor;  // gRPC's
    Finish finish;
  };
  Answer Begin(Context* context, Rpc rpc) const;

  Stream* Follow(Context* context, absl::StatusOr<std::shared_ptr<Job>> job,
                 const JobCall::Order& order);
  // The caller's tenant, where it may do what jobs need; its name alone.
  absl::StatusOr<std::string> TenantOf(const Context& context) const;
  absl::StatusOr<std::shared_ptr<Job>> JobOf(const Context& context, const std::string& name) const;
  // One that has a result with at least `offset` bytes; its caller is counted.
  absl::StatusOr<std::shared_ptr<Job>> AttachToResult(const Context& context,
                                                      const std::string& name,
                                                      int64_t offset) const;
  // `result`: with all of the result but its image.
  v1::Job Describe(const Job& job, const JobSnapshot& now, bool result) const;
  absl::Status List(const Context& context, const v1::ListJobsRequest& request,
                    v1::ListJobsResponse* response) const;

  const ServiceSurroundings with_;
  ReaderCalls calls_;
  const JobCall::Hooks hooks_;
};

}  // namespace antidiffusion
