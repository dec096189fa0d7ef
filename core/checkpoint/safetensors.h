// The .safetensors format, and strict loading into any torch module.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace antidiffusion {

// A memory-mapped file. Immutable after Open, so thread-safe.
class SafetensorsFile {
 public:
  // NOT_FOUND, or DATA_LOSS when the header, an offset, a dtype or a size does not add up. Input is
  // untrusted: no byte outside the file is ever read.
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);

  SafetensorsFile(SafetensorsFile&&) noexcept;
  SafetensorsFile& operator=(SafetensorsFile&&) noexcept;
  ~SafetensorsFile();

  std::vector<std::string> names() const;  // sorted
  bool Contains(absl::string_view name) const;

  // A copy in torch's own (64-byte aligned) memory, in the file's dtype, on the CPU. NOT_FOUND.
  absl::StatusOr<at::Tensor> Read(absl::string_view name) const;

 private:
  struct Mapping;
  explicit SafetensorsFile(std::unique_ptr<Mapping> mapping);
  std::unique_ptr<Mapping> mapping_;
};

}  // namespace antidiffusion
