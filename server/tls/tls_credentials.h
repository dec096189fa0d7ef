// The server's TLS credentials, which may change while it serves.
#pragma once

#include <grpcpp/security/server_credentials.h>

#include <array>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/file_stamp.h"
#include "base/mutex.h"
#include "server/tls/memory_file.h"

namespace antidiffusion {

// Paths of PEM files.
struct TlsFiles {
  std::string certificate;  // the chain, leaf first
  std::string key;
  std::string roots;  // whose certificates clients must show; "": clients show none
};

// gRPC reads the pair again each second, from a copy in memory: a change reaches new connections
// within two seconds, and no open one. The copy is made of what was checked, and switched at once;
// given a key that is not the certificate's, gRPC would refuse every client.
// Thread-safe, but for ReloadIfChanged.
class TlsCredentials {
 public:
  // Reads and checks the files. Errors as of ReadFile, CheckPair and CheckRoots, naming the file.
  static absl::StatusOr<std::unique_ptr<TlsCredentials>> Create(const TlsFiles& files,
                                                                absl::Time now);
  TlsCredentials(const TlsCredentials&) = delete;
  TlsCredentials& operator=(const TlsCredentials&) = delete;

  // For a server's port. This object outlives that server.
  std::shared_ptr<grpc::ServerCredentials> ForServer() const;

  // When the first certificate of the chain in force expires.
  absl::Time expiry() const ABSL_LOCKS_EXCLUDED(mutex_);

  // True when a file had changed and all are in force now. An error, once for each change, when
  // they cannot be used together: what was in force stays so (but for the roots, where the kernel
  // refuses memory for the pair after them). Reads the disk. For one thread.
  absl::StatusOr<bool> ReloadIfChanged(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // What the files held.
  struct Material {
    std::string pair;  // certificates, then the key: one file, so that it changes at once
    std::string roots;
    absl::Time expiry;
  };
  using Stamps = std::array<FileStamp, 3>;

  TlsCredentials(TlsFiles files, Stamps stamps) : files_(std::move(files)), stamps_(stamps) {}
  static Stamps StampsNow(const TlsFiles& files);
  static absl::StatusOr<Material> Read(const TlsFiles& files, absl::Time now);
  void SetExpiry(absl::Time expiry) ABSL_LOCKS_EXCLUDED(mutex_);

  const TlsFiles files_;
  Stamps stamps_;  // of the files last tried; of the thread that reloads
  std::unique_ptr<MemoryFile> pair_;
  std::unique_ptr<MemoryFile> roots_;  // null: clients show no certificates
  mutable Mutex mutex_;
  absl::Time expiry_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace antidiffusion
