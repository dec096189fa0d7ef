// What a worker process offers to the daemon that started it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "antidiffusion/worker/v1/worker.grpc.pb.h"
#include "core/api/loaded_models.h"
#include "core/api/protector.h"
#include "server/worker/engine_thread.h"

namespace antidiffusion {

// As LoadProtector; `loaded` outlives what is loaded.
using LoadFunction = std::function<absl::StatusOr<std::unique_ptr<Protector>>(
    const LoadOptions& options, LoadedModels& loaded)>;

// The models that were loaded here, and may be named by each other's jobs (options.also). Only for
// the engine's thread.
class WorkerModels {
 public:
  explicit WorkerModels(LoadFunction load) : load_(std::move(load)) {}

  worker::v1::LoadReply Load(const worker::v1::LoadRequest& request);
  worker::v1::SelfTestReply SelfTest(const worker::v1::SelfTestRequest& request);
  // NOT_FOUND: none of this name was loaded.
  absl::StatusOr<Protector*> Find(const std::string& name);

 private:
  const LoadFunction load_;
  LoadedModels loaded_;
  std::map<std::string, std::unique_ptr<Protector>> models_;
};

// Reactions run on gRPC's threads and post to `engine`, which outlives the service.
class WorkerService final : public worker::v1::Worker::CallbackService {
 public:
  WorkerService(EngineThread& engine, LoadFunction load)
      : engine_(engine), models_(std::move(load)) {}

  grpc::ServerUnaryReactor* Load(grpc::CallbackServerContext* context,
                                 const worker::v1::LoadRequest* request,
                                 worker::v1::LoadReply* reply) override;
  grpc::ServerUnaryReactor* SelfTest(grpc::CallbackServerContext* context,
                                     const worker::v1::SelfTestRequest* request,
                                     worker::v1::SelfTestReply* reply) override;
  grpc::ServerBidiReactor<worker::v1::ProtectInput, worker::v1::ProtectOutput>* Protect(
      grpc::CallbackServerContext* context) override;

 private:
  EngineThread& engine_;
  WorkerModels models_;
};

}  // namespace antidiffusion
