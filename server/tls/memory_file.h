// A file that exists in memory only.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace antidiffusion {

// For libraries that take secrets by path: nothing reaches a disk, and no other user can open it.
// For one thread; others may read by path() meanwhile.
class MemoryFile {
 public:
  // UNAVAILABLE, RESOURCE_EXHAUSTED and the like: the kernel refuses.
  static absl::StatusOr<std::unique_ptr<MemoryFile>> Create(const std::string& contents);
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  // Valid in this process, as long as this lives.
  std::string path() const;

  // Readers find the old contents or the new ones, never a mixture, and can tell one from the other
  // by the time of modification in whole seconds. (It counts versions; it is no time of day.)
  absl::Status Replace(const std::string& contents);

 private:
  explicit MemoryFile(int descriptor) : descriptor_(descriptor) {}

  const int descriptor_;
  int version_ = 1;
};

}  // namespace antidiffusion
