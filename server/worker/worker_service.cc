#include "server/worker/worker_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/wire/message_conversion.h"
#include "server/wire/wire.h"
#include "server/worker/protect_reactor.h"

namespace antidiffusion {

worker::v1::LoadReply WorkerModels::Load(const worker::v1::LoadRequest& request) {
  worker::v1::LoadReply reply;
  auto loaded = load_(FromWire(request), loaded_);
  if (!loaded.ok()) {
    *reply.mutable_failure() = ToWire(loaded.status());
    return reply;
  }
  *reply.mutable_model() = ToProto((*loaded)->model());
  for (const std::string& note : (*loaded)->model().notes) reply.add_notes(note);
  *reply.mutable_memory() = ToWire((*loaded)->memory());
  const std::string name = (*loaded)->model().name;
  models_[name] = *std::move(loaded);
  return reply;
}

worker::v1::SelfTestReply WorkerModels::SelfTest(const worker::v1::SelfTestRequest& request) {
  worker::v1::SelfTestReply reply;
  const auto model = Find(request.model());
  const absl::Status status = model.ok() ? (*model)->SelfTest() : model.status();
  if (!status.ok()) *reply.mutable_failure() = ToWire(status);
  if (model.ok()) *reply.mutable_memory() = ToWire((*model)->memory());
  return reply;
}

absl::StatusOr<Protector*> WorkerModels::Find(const std::string& name) {
  const auto found = models_.find(name);
  if (found != models_.end()) return found->second.get();
  return absl::NotFoundError(absl::StrCat("the worker has not loaded model ", name));
}

grpc::ServerUnaryReactor* WorkerService::Load(grpc::CallbackServerContext* context,
                                              const worker::v1::LoadRequest* request,
                                              worker::v1::LoadReply* reply) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  engine_.Post([this, reactor, request, reply] {
    *reply = models_.Load(*request);
    reactor->Finish(grpc::Status::OK);
  });
  return reactor;
}

grpc::ServerUnaryReactor* WorkerService::SelfTest(grpc::CallbackServerContext* context,
                                                  const worker::v1::SelfTestRequest* request,
                                                  worker::v1::SelfTestReply* reply) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  engine_.Post([this, reactor, request, reply] {
    *reply = models_.SelfTest(*request);
    reactor->Finish(grpc::Status::OK);
  });
  return reactor;
}

grpc::ServerBidiReactor<worker::v1::ProtectInput, worker::v1::ProtectOutput>*
WorkerService::Protect(grpc::CallbackServerContext* /*context*/) {
  return ProtectReactor::Begin(engine_, models_);
}

}  // namespace antidiffusion
