// The service itself: who calls, and what of the ledger answers.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "antidiffusion/v1/protection.grpc.pb.h"
#include "core/base/mutex.h"
#include "server/admission.h"
#include "server/job.h"
#include "server/job_call.h"
#include "server/job_ledger.h"
#include "server/metrics.h"
#include "server/model_catalogue.h"
#include "server/result_answer.h"
#include "server/result_room.h"
#include "server/tenants/tenant_directory.h"

namespace antidiffusion {

// What the service works with; all of it outlives the service.
struct ServiceSurroundings {
  Admission& admission;
  JobLedger& ledger;
  const ModelCatalogue& catalogue;
  const TenantDirectory& tenants;
  Metrics& metrics;
  Job::Clock now;
};

// Callback API: nothing here decodes, waits or touches a disk. Outlives the gRPC server.
class ProtectionService final : public v1::ProtectionService::CallbackService {
 public:
  // `max_unread_bytes`: of results that their readers have not taken yet.
  ProtectionService(const ServiceSurroundings& surroundings, int64_t max_unread_bytes);
  ~ProtectionService() override;

  using Context = grpc::CallbackServerContext;
  using Stream = grpc::ServerWriteReactor<v1::JobEvent>;

  Stream* Protect(Context* context, const v1::ProtectRequest* request) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  Stream* WatchJob(Context* context, const v1::WatchJobRequest* request) override
      ABSL_LOCKS_EXCLUDED(mutex_);

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

  int64_t unread_bytes() const { return room_.bytes(); }

  // About every second: keeps streams alive, ends those that nobody reads.
  void Tick(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);

  // False when streams are still open after `timeout`.
  bool WaitIdle(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // Ends a unary call, once, on any thread.
  using Finish = std::function<void(const absl::Status& status)>;
  struct Answer {
    grpc::ServerUnaryReactor* reactor;  // gRPC's
    Finish finish;
  };
  Answer Begin(Context* context, Rpc rpc) const;
  Finish FinishOf(Context* context, Rpc rpc, grpc::ServerUnaryReactor* reactor) const;

  Stream* Follow(Context* context, absl::StatusOr<std::shared_ptr<Job>> job,
                 const JobCall::Order& order) ABSL_LOCKS_EXCLUDED(mutex_);
  // The caller's tenant, where it may do what jobs need; its name alone.
  absl::StatusOr<std::string> TenantOf(const Context& context) const;
  absl::StatusOr<std::shared_ptr<Job>> JobOf(const Context& context, const std::string& name) const;
  v1::Job Describe(const Job& job, const JobSnapshot& now, bool result) const;
  grpc::ServerUnaryReactor* GetWithResult(Context* context, const std::shared_ptr<Job>& job,
                                          int64_t bytes, v1::Job* response)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void SendResult(const Job& job, v1::Job* response, const Finish& finish);
  absl::Status List(const Context& context, const v1::ListJobsRequest& request,
                    v1::ListJobsResponse* response) const;

  const ServiceSurroundings with_;
  ResultRoom room_;
  const JobCall::Hooks hooks_;
  const ResultAnswer::Hooks answer_hooks_;
  Mutex mutex_;
  CondVar idle_;
  std::unordered_map<JobCall*, std::unique_ptr<JobCall>> calls_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<ResultAnswer*, std::unique_ptr<ResultAnswer>> answers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace antidiffusion
