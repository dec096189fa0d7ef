#include "tests/client/fake_service.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"

namespace antidiffusion {

// One call: after what was there before it, before what comes after it.
class FakeService::CallOrder {
 public:
  explicit CallOrder(const FakeService& fake) : fake_(fake) { fake_.Settle(); }
  ~CallOrder() { fake_.Settle(); }
  CallOrder(const CallOrder&) = delete;
  CallOrder& operator=(const CallOrder&) = delete;

 private:
  const FakeService& fake_;
};

class FakeService::Protection : public v1::ProtectionService::Service {
 public:
  explicit Protection(FakeService& fake) : fake_(fake) {}

  grpc::Status Protect(grpc::ServerContext* context, const v1::ProtectRequest* request,
                       EventWriter* writer) override {
    fake_.Record(*request);
    const CallOrder order(fake_);
    return fake_.protect(context, *request, *writer);
  }

  grpc::Status CreateJob(grpc::ServerContext* context, const v1::ProtectRequest* request,
                         v1::Job* job) override {
    fake_.Record(*request);
    const CallOrder order(fake_);
    return fake_.create_job(context, *request, *job);
  }

  grpc::Status GetJob(grpc::ServerContext* context, const v1::GetJobRequest* request,
                      v1::Job* job) override {
    const CallOrder order(fake_);
    return fake_.get_job(context, *request, *job);
  }

  grpc::Status ListJobs(grpc::ServerContext* context, const v1::ListJobsRequest* request,
                        v1::ListJobsResponse* response) override {
    const CallOrder order(fake_);
    return fake_.list_jobs(context, *request, *response);
  }

  grpc::Status WatchJob(grpc::ServerContext* context, const v1::WatchJobRequest* request,
                        EventWriter* writer) override {
    const CallOrder order(fake_);
    return fake_.watch_job(context, *request, *writer);
  }

  grpc::Status DownloadResult(grpc::ServerContext* context,
                              const v1::DownloadResultRequest* request,
                              EventWriter* writer) override {
    const CallOrder order(fake_);
    return fake_.download_result(context, *request, *writer);
  }

  grpc::Status CancelJob(grpc::ServerContext* context, const v1::CancelJobRequest* request,
                         v1::Job* job) override {
    const CallOrder order(fake_);
    return fake_.cancel_job(context, *request, *job);
  }

  grpc::Status DeleteJob(grpc::ServerContext* context, const v1::DeleteJobRequest* request,
                         google::protobuf::Empty* response) override {
    const CallOrder order(fake_);
    return fake_.delete_job(context, *request, *response);
  }

  grpc::Status ListModels(grpc::ServerContext* context, const v1::ListModelsRequest* /*request*/,
                          v1::ListModelsResponse* response) override {
    const CallOrder order(fake_);
    return fake_.list_models(context, *response);
  }

 private:
  FakeService& fake_;
};

class FakeService::Health : public grpc::health::v1::Health::Service {
 public:
  explicit Health(FakeService& fake) : fake_(fake) {}

  grpc::Status Check(grpc::ServerContext* /*context*/,
                     const grpc::health::v1::HealthCheckRequest* /*request*/,
                     grpc::health::v1::HealthCheckResponse* response) override {
    const CallOrder order(fake_);
    response->set_status(fake_.health);
    return grpc::Status::OK;
  }

 private:
  FakeService& fake_;
};

FakeService::FakeService(const std::shared_ptr<grpc::ServerCredentials>& credentials)
    : protection_service_(std::make_unique<Protection>(*this)),
      health_service_(std::make_unique<Health>(*this)) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", credentials, &port_);
  builder.SetMaxReceiveMessageSize(64 << 20);
  builder.RegisterService(protection_service_.get());
  builder.RegisterService(health_service_.get());
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) throw std::runtime_error("the fake service does not start");
  address_ = "127.0.0.1:" + std::to_string(port_);
}

FakeService::~FakeService() {
  server_->Shutdown();
  server_->Wait();
}

const std::string& FakeService::address() const {
  Settle();
  return address_;
}

std::vector<v1::ProtectRequest> FakeService::requests() const {
  MutexLock lock(mutex_);
  return requests_;
}

void FakeService::Record(const v1::ProtectRequest& request) {
  MutexLock lock(mutex_);
  requests_.push_back(request);
}

std::string Metadata(const grpc::ServerContext& context, const std::string& key) {
  const auto found = context.client_metadata().find(key);
  return found == context.client_metadata().end()
             ? std::string()
             : std::string(found->second.data(), found->second.size());
}

v1::JobEvent WithSequence(v1::JobEvent event, uint64_t sequence) {
  event.set_sequence(sequence);
  return event;
}

v1::Job MakeJob(const std::string& name, v1::Job::State state) {
  v1::Job job;
  job.set_name(name);
  job.set_state(state);
  job.set_model("clothing");
  job.set_priority(v1::PRIORITY_BATCH);
  job.mutable_create_time()->set_seconds(1'700'000'000);
  job.set_sequence(1);
  return job;
}

v1::JobEvent QueuedEvent(int position) {
  v1::JobEvent event;
  event.mutable_queued()->set_job("job");
  event.mutable_queued()->set_position(position);
  return event;
}

v1::JobEvent ProgressEvent(const std::string& stage, int step, int total, double fraction) {
  v1::JobEvent event;
  v1::Progress& progress = *event.mutable_progress();
  progress.set_stage(stage);
  progress.set_step(step);
  progress.set_total(total);
  progress.set_fraction(fraction);
  progress.set_loss(0.125);
  progress.set_eta_seconds(65);
  return event;
}

v1::JobEvent ChunkEvent(size_t offset, const std::string& bytes) {
  v1::JobEvent event;
  event.mutable_chunk()->set_offset(static_cast<int64_t>(offset));
  event.mutable_chunk()->set_data(bytes);
  return event;
}

void WriteResult(EventWriter& writer, const std::string& image, uint64_t sequence) {
  constexpr size_t kChunk = size_t{1} << 20;
  writer.Write(WithSequence(ResultEvent(image.size()), sequence));
  for (size_t offset = 0; offset < image.size(); offset += kChunk) {
    writer.Write(WithSequence(ChunkEvent(offset, image.substr(offset, kChunk)), sequence));
  }
}

v1::JobEvent ResultEvent(size_t image_bytes) {
  v1::JobEvent event;
  v1::ProtectionResult& result = *event.mutable_result();
  result.set_image_bytes(static_cast<int64_t>(image_bytes));
  result.set_mime_type("image/png");
  result.set_model("clothing");
  result.set_model_digest("abc123");
  result.set_seed((uint64_t{1} << 63) + 5);
  result.set_unet_passes(310);
  (*result.mutable_stage_seconds())["pgd"] = 1.25;
  result.mutable_report()->set_max_difference(6);
  result.mutable_report()->set_budget(6);
  result.mutable_report()->set_psnr(38.5);
  result.mutable_report()->set_ssim(0.9712);
  return event;
}

grpc::Status DetailedStatus(grpc::StatusCode code, const std::string& message,
                            const StatusDetails& details) {
  google::rpc::Status status;
  status.set_code(code);
  status.set_message(message);
  if (!details.reason.empty()) {
    google::rpc::ErrorInfo info;
    info.set_reason(details.reason);
    info.set_domain("antidiffusion");
    (*info.mutable_metadata())["limit"] = "32";
    status.add_details()->PackFrom(info);
  }
  if (details.retry_delay_seconds >= 0) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(static_cast<int64_t>(details.retry_delay_seconds));
    status.add_details()->PackFrom(retry);
  }
  if (!details.field.empty()) {
    google::rpc::BadRequest bad_request;
    auto& violation = *bad_request.add_field_violations();
    violation.set_field(details.field);
    violation.set_description(details.description);
    status.add_details()->PackFrom(bad_request);
  }
  return {code, message, status.SerializeAsString()};
}

std::string UnusedAddress() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  const bool bound = bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                     getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  close(fd);
  if (!bound) throw std::runtime_error("no free port");
  return "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
}

}  // namespace antidiffusion
