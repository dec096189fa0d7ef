// API keys: made here, known to the server by their hashes only.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace antidiffusion {

using KeyDigest = std::array<uint8_t, 32>;  // SHA-256

KeyDigest DigestOfKey(absl::string_view key);
std::string ToHex(const KeyDigest& digest);

// In a time that does not depend on where they differ.
bool ConstantTimeEqual(const KeyDigest& a, const KeyDigest& b);

// "adk_" and 256 random bits in hexadecimal digits. INTERNAL where the system has no randomness.
absl::StatusOr<std::string> NewApiKey();

}  // namespace antidiffusion
