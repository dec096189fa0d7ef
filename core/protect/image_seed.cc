#include "core/protect/image_seed.h"

#include <openssl/evp.h>

#include <array>
#include <memory>

namespace antidiffusion {
namespace {

void AddInt(EVP_MD_CTX* context, int value) {
  const auto bits = static_cast<uint32_t>(value);
  std::array<uint8_t, 4> bytes{};
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(bits >> (8 * i));
  EVP_DigestUpdate(context, bytes.data(), bytes.size());
}

}  // namespace

uint64_t SeedOf(const Image& image) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        EVP_MD_CTX_free);
  EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr);
  AddInt(context.get(), image.width);
  AddInt(context.get(), image.height);
  AddInt(context.get(), image.channels);
  EVP_DigestUpdate(context.get(), image.pixels.data(), image.pixels.size());
  std::array<uint8_t, EVP_MAX_MD_SIZE> digest{};
  EVP_DigestFinal_ex(context.get(), digest.data(), nullptr);
  uint64_t seed = 0;
  for (size_t i = 0; i < sizeof(seed); ++i) seed |= static_cast<uint64_t>(digest[i]) << (8 * i);
  return seed;
}

}  // namespace antidiffusion
