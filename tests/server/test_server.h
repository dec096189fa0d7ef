// A real server with a fake engine, and a plain client of it.
//
//   TestServer server({.steps = 2});
//   server.WaitReady();
//   ProtectCallOutcome outcome = server.Protect(RequestWith(SmallPng()));
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/sync_stream.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "antidiffusion/v1/protection.grpc.pb.h"
#include "google/rpc/error_details.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "server/server.h"
#include "tests/server/fake_protector.h"
#include "tests/server/http_get.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {

// What the events of a stream brought of a result.
class StreamedResult {
 public:
  // Each event as it comes. A chunk that is not the next one fails the test.
  void Take(const v1::JobEvent& event);

  bool begun() const { return facts_.has_value(); }
  // With all of its image.
  bool whole() const;
  const v1::ProtectionResult& facts() const { return *facts_; }
  const std::string& image() const { return image_; }
  size_t largest_chunk() const { return largest_chunk_; }

 private:
  std::optional<v1::ProtectionResult> facts_;
  std::string image_;
  size_t largest_chunk_ = 0;
};

std::string SmallPng();  // 64x64 RGB
std::string LargePng();  // of several 100 kB
v1::ProtectRequest RequestWith(const std::string& image);

// The ErrorInfo of a status, empty when it has none.
google::rpc::ErrorInfo ErrorInfoOf(const grpc::Status& status);

using Metadata = std::map<std::string, std::string>;

// The event that a call gave; where it has ended instead the test fails, by an exception that tells
// its status.
v1::JobEvent Required(std::optional<v1::JobEvent> event, grpc::ClientReader<v1::JobEvent>& call);

// One Protect call under way; cancelled when destroyed unfinished.
class OpenCall {
 public:
  OpenCall(v1::ProtectionService::Stub& stub, const v1::ProtectRequest& request,
           std::optional<absl::Duration> timeout = std::nullopt, const Metadata& metadata = {});
  ~OpenCall() { context_.TryCancel(); }
  OpenCall(const OpenCall&) = delete;
  OpenCall& operator=(const OpenCall&) = delete;

  // The next event; nullopt at the end of the stream.
  std::optional<v1::JobEvent> Next();
  // The next event, which has to come (Required).
  v1::JobEvent Event() { return Required(Next(), *reader_); }
  // Reads what is left, and gives the last event that was read, from then on.
  grpc::Status Finish();
  const v1::JobEvent& last() const { return last_; }
  const StreamedResult& result() const { return result_; }
  int events() const { return events_; }
  void Cancel() { context_.TryCancel(); }
  std::string Trailer(const std::string& name) const;  // after Finish; "" without it

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::JobEvent>> reader_;
  v1::JobEvent last_;
  StreamedResult result_;
  int events_ = 0;
};

// For servers whose engines are not FakeEngine's.
struct OwnEngines {
  explicit OwnEngines(EngineFactory engines) : factory(std::move(engines)) {}
  EngineFactory factory;
};

class TestServer {
 public:
  explicit TestServer(FakeEngine::Orders orders = {},
                      const std::function<void(ServerConfig&)>& configure = nullptr,
                      const std::vector<std::string>& models = {"alpha"},
                      std::unique_ptr<Log> log = nullptr,  // null: a silent one
                      const PoolFactory& open_pool = OpenPool);

  // With engines of the test's own instead of engine().
  explicit TestServer(OwnEngines engines,
                      const std::function<void(ServerConfig&)>& configure = nullptr,
                      const std::vector<std::string>& models = {"alpha"});

  // Whatever the engine was told to hold is let go.
  ~TestServer() {
    engine_.ReleaseLoading();
    engine_.AllowAllSteps();
  }
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;

  FakeEngine& engine() { return engine_; }
  void Stop() { server_.reset(); }
  Server& server() { return *server_; }
  v1::ProtectionService::Stub& stub() { return *stub_; }

  // Moves the clock of the database, and then does what is due.
  void Advance(absl::Duration time);
  // A number that a statement gives.
  int64_t Ask(const std::string& statement);

  std::unique_ptr<OpenCall> Open(const v1::ProtectRequest& request,
                                 std::optional<absl::Duration> timeout = std::nullopt) {
    return std::make_unique<OpenCall>(*stub_, request, timeout);
  }
  // The status of a whole call.
  grpc::Status Protect(const v1::ProtectRequest& request) { return Open(request)->Finish(); }

  bool Healthy(const std::string& service = "");
  void WaitForHealth(bool serving);  // by Watch
  void WaitReady() { WaitForHealth(true); }
  HttpReply Get(const std::string& path) { return HttpGet(server_->metrics_port(), path); }

  // The value of a series as Prometheus sees it, by its full name without the prefix
  // (`jobs_total{model="alpha",outcome="failed",reason="INTERNAL"}`); nullopt when it is absent.
  std::optional<double> Metric(const std::string& series);
  // Waits until it has this value.
  void WaitForMetric(const std::string& series, double value);

 private:
  void Start(EngineFactory engines, const std::function<void(ServerConfig&)>& configure,
             const std::vector<std::string>& models);

  const PoolFactory open_pool_;
  SqlPool* pool_ = nullptr;  // the server's
  TempDir repository_;
  FakeEngine engine_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::ProtectionService::Stub> stub_;
  std::unique_ptr<grpc::health::v1::Health::Stub> health_;
};

}  // namespace antidiffusion
