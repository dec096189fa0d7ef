#include "core/protect/image_seed.h"

#include <array>

#include "absl/strings/string_view.h"
#include "core/base/sha256.h"

namespace antidiffusion {
namespace {

void AddInt(Sha256& hash, int value) {
  const auto bits = static_cast<uint32_t>(value);
  std::array<char, 4> bytes{};
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(bits >> (8 * i));
  hash.Update(absl::string_view(bytes.data(), bytes.size()));
}

}  // namespace

uint64_t SeedOf(const Image& image) {
  Sha256 hash;
  AddInt(hash, image.width);
  AddInt(hash, image.height);
  AddInt(hash, image.channels);
  hash.Update(
      absl::string_view(reinterpret_cast<const char*>(image.pixels.data()), image.pixels.size()));
  const Sha256::Digest digest = hash.Finish();
  uint64_t seed = 0;
  for (size_t i = 0; i < sizeof(seed); ++i) seed |= static_cast<uint64_t>(digest[i]) << (8 * i);
  return seed;
}

}  // namespace antidiffusion
