// Who a caller is: API keys and client certificates, as the key file says.
#pragma once

#include <grpcpp/impl/codegen/server_context.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/file_stamp.h"
#include "base/mutex.h"
#include "server/tenants/tenant.h"

namespace antidiffusion {

namespace reason {
inline constexpr char kKeyMissing[] = "KEY_MISSING";
inline constexpr char kKeyUnknown[] = "KEY_UNKNOWN";
inline constexpr char kRightMissing[] = "RIGHT_MISSING";
}  // namespace reason

// What a caller shows.
struct Credentials {
  std::optional<std::string> key;       // metadata `authorization: Bearer KEY`, else `x-api-key`
  std::vector<std::string> identities;  // of its verified certificate, most specific first

  static Credentials Of(const grpc::ServerContextBase& context);
};

// Thread-safe.
class TenantDirectory {
 public:
  struct Options {
    std::string path;  // of the key file; "": everybody is the anonymous tenant "", without limits
    // Of tenants whose entry says nothing, where the file has several.
    size_t default_max_waiting = 32;
    int64_t default_max_waiting_bytes = int64_t{256} << 20;
  };

  // Reads the file. Errors as of ReadFile and ParseKeyFile.
  static absl::StatusOr<std::unique_ptr<TenantDirectory>> Create(const Options& options);

  // The tenant that calls, once it may do so. A key decides where there is one, the certificate
  // where there is none. UNAUTHENTICATED, reason KEY_MISSING: neither, or a certificate that is
  // nobody's; KEY_UNKNOWN: a key that is nobody's. PERMISSION_DENIED, reason RIGHT_MISSING.
  // Compares in a time that does not depend on the key. The tenant stays as it is when the file
  // changes; shared, since it outlives its entry then.
  absl::StatusOr<std::shared_ptr<const Tenant>> Identify(const grpc::ServerContextBase& context,
                                                         Right right) const;
  absl::StatusOr<std::shared_ptr<const Tenant>> Identify(const Credentials& credentials,
                                                         Right right) const;

  // Names in the order of the file; "" without one.
  std::vector<std::string> Names() const;

  // True when the file had changed and is in force now; its tenants keep what they have used. An
  // error, once for each change, when it cannot be used: the tenants stay as they are. Reads the
  // disk. For one thread.
  absl::StatusOr<bool> ReloadIfChanged();

 private:
  struct Snapshot;

  explicit TenantDirectory(Options options);
  absl::StatusOr<std::shared_ptr<const Snapshot>> Read() const;
  std::shared_ptr<const Snapshot> snapshot() const ABSL_LOCKS_EXCLUDED(mutex_);

  const Options options_;
  FileStamp stamp_;  // of the file last tried; of the thread that reloads
  mutable Mutex mutex_;
  // Shared with those who are looking somebody up while it is replaced.
  std::shared_ptr<const Snapshot> snapshot_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace antidiffusion
