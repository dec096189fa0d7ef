// What can be wrong with keys and certificates, found before anybody shakes hands with them.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace antidiffusion {

// When the first certificate of a chain expires (leaf first, PEM). INVALID_ARGUMENT: no certificate
// or no key, either unreadable (a key with a passphrase is), or the key is not the leaf's;
// FAILED_PRECONDITION: expired at `now`. Errors never quote a key.
absl::StatusOr<absl::Time> CheckPair(const std::string& chain_pem, const std::string& key_pem,
                                     absl::Time now);

// INVALID_ARGUMENT: without a certificate, or with an unreadable one.
absl::Status CheckRoots(const std::string& roots_pem);

}  // namespace antidiffusion
