#include "server/store/digest.h"

#include "core/base/sha256.h"

namespace antidiffusion {

std::string Sha256Hex(absl::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.FinishHex();
}

}  // namespace antidiffusion
