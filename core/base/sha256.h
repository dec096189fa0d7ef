// SHA-256, fed piece by piece or at once.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace antidiffusion {

// Not thread-safe. Throws std::bad_alloc when OpenSSL finds no memory; nothing else can fail.
class Sha256 {
 public:
  using Digest = std::array<uint8_t, 32>;

  Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  ~Sha256();

  void Update(absl::string_view bytes);

  // The digest of all bytes so far. Once: afterwards nothing may be called.
  Digest Finish();
  std::string FinishHex();  // 64 lower-case digits

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

// Of `bytes`. About a second for 400 MB without the processor's SHA instructions.
std::string Sha256Hex(absl::string_view bytes);

}  // namespace antidiffusion
