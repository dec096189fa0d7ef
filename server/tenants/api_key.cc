#include "server/tenants/api_key.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"

namespace antidiffusion {
namespace {

constexpr char kPrefix[] = "adk_";  // lets scanners for leaked secrets know one

}  // namespace

KeyDigest DigestOfKey(absl::string_view key) {
  Sha256 hash;
  hash.Update(key);
  return hash.Finish();
}

std::string ToHex(const KeyDigest& digest) {
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
}

bool ConstantTimeEqual(const KeyDigest& a, const KeyDigest& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

absl::StatusOr<std::string> NewApiKey() {
  KeyDigest random;
  if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1) {
    return absl::InternalError("the system gave no random bytes");
  }
  return absl::StrCat(kPrefix, ToHex(random));
}

}  // namespace antidiffusion
