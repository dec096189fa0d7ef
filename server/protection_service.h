// The service itself: who calls, and who answers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "antidiffusion/v1/protection.grpc.pb.h"
#include "server/admission.h"
#include "server/database_threads.h"
#include "server/job.h"
#include "server/job_access.h"
#include "server/job_call.h"
#include "server/metrics.h"
#include "server/model_catalogue.h"
#include "server/reader_calls.h"
#include "server/tenants/tenant_directory.h"
#include "server/unread_results.h"

namespace antidiffusion {

// What the service works with; all of it outlives the service.
struct ServiceSurroundings {
  Admission& admission;
  JobAccess& access;
  DatabaseThreads& threads;
  const ModelCatalogue& catalogue;
  const TenantDirectory& tenants;
  UnreadResults& unread;
  Metrics& metrics;
  Job::Clock now;
};

// Callback API: what waits for the database does so on its threads; nothing here decodes. Outlives
// the gRPC server.
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
  struct Begun {
    grpc::ServerUnaryReactor* reactor;  // gRPC's
    Finish finish;
  };
  Begun Begin(Context* context, Rpc rpc) const;

  // Made at once, begun later.
  JobCall* MakeCall(Context* context, const JobCall::Order& order);
  // Runs `ask` on a thread of the database, with the tenant that calls, where it may do what jobs
  // need.
  using Ask = std::function<void(const std::string& tenant)>;
  void ForTenant(const Context& context, const Ask& ask, const Finish& refuse);
  // The same for what is answered with a value.
  template <typename Value>
  grpc::ServerUnaryReactor* Answer(Context* context, Rpc rpc, Value* response,
                                   std::function<absl::StatusOr<Value>(const std::string&)> ask);
  absl::StatusOr<v1::ListJobsResponse> List(const std::string& tenant,
                                            const v1::ListJobsRequest& request) const;

  const ServiceSurroundings with_;
  ReaderCalls calls_;
  const JobCall::Hooks hooks_;
};

}  // namespace antidiffusion
