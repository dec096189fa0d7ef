// The .safetensors format: reading tensors out of a file that nobody vouches for.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/base/sha256.h"

namespace antidiffusion {

// A memory-mapped file. Immutable after Open, so thread-safe. The file must not be cut short while
// it is open: replace it by renaming another over it.
class SafetensorsFile {
 public:
  // NOT_FOUND, or DATA_LOSS when the header, an offset, a dtype or a size does not add up. Input is
  // untrusted: no byte outside the file is ever read.
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);

  SafetensorsFile(SafetensorsFile&&) noexcept;
  SafetensorsFile& operator=(SafetensorsFile&&) noexcept;
  ~SafetensorsFile();

  const std::string& path() const;

  // Whether the bytes are still those that were opened, by size and time of the last change:
  // another file may have been renamed over this one, but nobody may have written into it.
  // DATA_LOSS.
  absl::Status CheckUnchanged() const;

  std::vector<std::string> names() const;  // sorted
  bool Contains(absl::string_view name) const;

  // Adds the whole file to `sha`: the bytes that Read reads from, even if another file lies at the
  // path by now. Keeps no more than a piece of it in memory.
  void HashInto(Sha256& sha) const;

  // Without reading the data. NOT_FOUND.
  absl::StatusOr<std::vector<int64_t>> Shape(absl::string_view name) const;

  // OK for weights that Read can give, without reading them. NOT_FOUND; DATA_LOSS: integers;
  // FAILED_PRECONDITION: a dtype that is not read, as of 8-bit floating point.
  absl::Status CheckIsWeight(absl::string_view name) const;

  // A copy in torch's own (64-byte aligned) memory, in the file's dtype, on the CPU. NOT_FOUND,
  // DATA_LOSS for a BOOL that is neither 0 nor 1, FAILED_PRECONDITION for a dtype that is not read:
  // floating point of 8 bits and fewer, unsigned integers of 16 bits and more, complex numbers.
  // Throws c10::Error when memory runs out. The file's pages do not stay in memory.
  absl::StatusOr<at::Tensor> Read(absl::string_view name) const;

 private:
  struct Mapping;
  explicit SafetensorsFile(std::unique_ptr<Mapping> mapping);
  std::unique_ptr<Mapping> mapping_;
};

}  // namespace antidiffusion
