// Who the client is to the server, and whom it takes for the server.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "grpcpp/security/credentials.h"

namespace antidiffusion {

// As the flags say it.
struct CredentialSettings {
  std::string api_key = {};  // flag, else ANTIDIFFUSION_API_KEY; empty: none
  std::string api_key_file =
      {};  // holds the key and nothing else but white space; wins over api_key
  bool tls = false;
  std::string ca_file = {};           // PEM; empty: the system's authorities
  std::string certificate_file = {};  // PEM, with key_file: the client's own, for mutual TLS
  std::string key_file = {};
};

struct Credentials {
  std::string api_key;  // empty: none
  bool tls = false;
  // Shared because gRPC's channels share it.
  std::shared_ptr<grpc::ChannelCredentials> channel = grpc::InsecureChannelCredentials();
};

// Reads the files. Errors name the flag:
//   INVALID_ARGUMENT  a key that cannot be a header's value, a certificate without a key or the
//                     other way round, a pair that does not belong together, a file that is not PEM
//   others            a file cannot be read
absl::StatusOr<Credentials> LoadCredentials(const CredentialSettings& settings);

}  // namespace antidiffusion
