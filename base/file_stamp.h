// Whether a file is still the one it was.
#pragma once

#include <cstdint>
#include <string>

namespace antidiffusion {

// Equal as long as the path leads to the same, unchanged file: another one moved there, a symlink
// turned on its way and a write in place all change it. All zero: there is none.
struct FileStamp {
  uint64_t device = 0;
  uint64_t inode = 0;
  int64_t size = 0;         // bytes
  int64_t modified_ns = 0;  // since 1970
  int64_t inode_changed_ns = 0;

  bool operator==(const FileStamp&) const = default;
};

FileStamp StampOf(const std::string& path);

}  // namespace antidiffusion
