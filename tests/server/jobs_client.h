// The job RPCs of a TestServer, each as one function.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "tests/server/test_server.h"

namespace antidiffusion {

// A call's status and answer.
template <typename T>
struct Answer {
  grpc::Status status;
  T value;

  // The reason of the error, "" for OK.
  std::string reason() const { return ErrorInfoOf(status).reason(); }
};

class JobsClient {
 public:
  explicit JobsClient(TestServer& server, Metadata metadata = {})
      : stub_(server.stub()), metadata_(std::move(metadata)) {}

  Answer<v1::Job> Create(const v1::ProtectRequest& request) const {
    return Call<v1::Job>(&Stub::CreateJob, request);
  }
  Answer<v1::Job> Get(const std::string& name) const {
    v1::GetJobRequest request;
    request.set_name(name);
    return Call<v1::Job>(&Stub::GetJob, request);
  }
  Answer<v1::ListJobsResponse> List(const v1::ListJobsRequest& request = {}) const {
    return Call<v1::ListJobsResponse>(&Stub::ListJobs, request);
  }
  Answer<v1::Job> Cancel(const std::string& name) const {
    v1::CancelJobRequest request;
    request.set_name(name);
    return Call<v1::Job>(&Stub::CancelJob, request);
  }
  Answer<google::protobuf::Empty> Delete(const std::string& name) const {
    v1::DeleteJobRequest request;
    request.set_name(name);
    return Call<google::protobuf::Empty>(&Stub::DeleteJob, request);
  }

 private:
  using Stub = v1::ProtectionService::Stub;

  template <typename Response, typename Request>
  Answer<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                     Response*),
                        const Request& request) const {
    grpc::ClientContext context;
    for (const auto& [key, value] : metadata_) context.AddMetadata(key, value);
    Answer<Response> answer;
    answer.status = (stub_.*method)(&context, request, &answer.value);
    return answer;
  }

  Stub& stub_;
  const Metadata metadata_;
};

// One WatchJob or DownloadResult call under way; cancelled when destroyed unfinished.
class JobWatch {
 public:
  JobWatch(TestServer& server, const std::string& name, uint64_t from_sequence = 0,
           const Metadata& metadata = {}) {
    for (const auto& [key, value] : metadata) context_.AddMetadata(key, value);
    v1::WatchJobRequest request;
    request.set_name(name);
    request.set_from_sequence(from_sequence);
    reader_ = server.stub().WatchJob(&context_, request);
  }
  JobWatch(TestServer& server, const v1::DownloadResultRequest& request,
           const Metadata& metadata = {}) {
    for (const auto& [key, value] : metadata) context_.AddMetadata(key, value);
    reader_ = server.stub().DownloadResult(&context_, request);
  }
  ~JobWatch() { context_.TryCancel(); }

  std::optional<v1::JobEvent> Next() {
    v1::JobEvent event;
    if (!reader_->Read(&event)) return std::nullopt;
    last_ = event;
    result_.Take(event);
    return event;
  }
  // The next event, which has to come (Required).
  v1::JobEvent Event() { return Required(Next(), *reader_); }
  grpc::Status Finish() {
    while (Next().has_value()) {
    }
    return reader_->Finish();
  }
  const v1::JobEvent& last() const { return last_; }
  const StreamedResult& result() const { return result_; }
  void Cancel() { context_.TryCancel(); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::JobEvent>> reader_;
  v1::JobEvent last_;
  StreamedResult result_;
};

// The image of a job's result from the byte `offset` on; an error of the call fails the test.
inline std::string ImageOf(TestServer& server, const std::string& name, int64_t offset = 0) {
  v1::DownloadResultRequest request;
  request.set_name(name);
  request.set_offset(offset);
  JobWatch download(server, request);
  const grpc::Status status = download.Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(download.result().whole());
  return download.result().image().substr(static_cast<size_t>(offset));
}

}  // namespace antidiffusion
