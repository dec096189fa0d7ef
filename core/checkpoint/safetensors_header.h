// The header of a .safetensors file: 8 bytes of length, then a JSON object that tells dtype, shape
// and place of each tensor. Free of torch, so that it is cheap to fuzz.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace antidiffusion {

// Those of the crate safetensors 0.8, most of which nothing here reads: a file may hold tensors
// that nobody asks for.
enum class SafetensorsDtype {
  kF64,
  kF32,
  kF16,
  kBF16,
  kI64,
  kI32,
  kI16,
  kI8,
  kU8,
  kBool,
  kU64,
  kU32,
  kU16,
  kC64,
  kF8E4M3,
  kF8E5M2,
  kF8E8M0,
  kF8E4M3Fnuz,
  kF8E5M2Fnuz,
  kF6E2M3,
  kF6E3M2,
  kF4,
};

// Bits of one element. The elements of a tensor follow one another without gaps, and all of them
// together are whole bytes.
int64_t BitSize(SafetensorsDtype dtype);

// As in a header: F32, F8_E4M3, ...
absl::string_view DtypeName(SafetensorsDtype dtype);

struct SafetensorsEntry {
  SafetensorsDtype dtype = SafetensorsDtype::kF32;
  std::vector<int64_t> shape;  // empty: a scalar
  uint64_t begin = 0;          // of the data, from the start of the file
  uint64_t end = 0;
};

// std::less<> so that a name is found without copying it.
using SafetensorsEntries = std::map<std::string, SafetensorsEntry, std::less<>>;

// Parses and proves the header of a file whose bytes are `file`. On success every entry lies inside
// of it, its size is that of its shape, and the entries cover the data without a hole or an
// overlap, as the format demands. DATA_LOSS otherwise, also for a repeated name and a header over
// 16 MB; the message says so where the file is known to be something else (a git-LFS pointer, an
// HTML page, a pickle). n log n in the header; reads nothing of the data.
absl::StatusOr<SafetensorsEntries> ParseSafetensorsHeader(absl::string_view file);

// Whether a file that begins so is the pointer that git-LFS leaves in its place.
bool IsLfsPointer(absl::string_view file);

}  // namespace antidiffusion
