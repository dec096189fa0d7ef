// The connection to a server, set up as this service needs it.
#pragma once

#include <memory>
#include <string>

#include "client/credentials.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"

namespace antidiffusion {

// A connection of its own (not shared with equal channels of the process), without retries: dead
// connections are noticed, proxies for the web left aside. Calls go to the addresses of `server` in
// turn, those that answer. Does not connect yet. Shared because gRPC's stubs share it.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& server,
                                           const Credentials& credentials);

// Says who is calling, when `api_key` is not empty.
void AddApiKey(const std::string& api_key, grpc::ClientContext& context);

}  // namespace antidiffusion
