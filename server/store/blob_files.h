// Files named by the SHA-256 of what they hold.
#pragma once

#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace antidiffusion {

// A folder that nobody but the owner may look into (0700, files 0600). For one thread.
class BlobFiles {
 public:
  // Makes the folder. UNAVAILABLE.
  static absl::StatusOr<BlobFiles> Open(const std::string& folder);

  // Written beside, flushed to the disk and renamed: a file is all there or not at all. Does
  // nothing when it is there. UNAVAILABLE.
  absl::Status Write(const std::string& digest, const std::string& bytes) const;

  // NOT_FOUND; DATA_LOSS: the bytes are not those of the digest.
  absl::StatusOr<std::string> Read(const std::string& digest) const;

  // The errors of Read, without keeping the bytes.
  absl::Status Check(const std::string& digest) const;
  // At most `size` bytes from `offset` on. NOT_FOUND; DATA_LOSS: there are none.
  absl::StatusOr<std::string> ReadPiece(const std::string& digest, int64_t offset,
                                        int64_t size) const;

  void Delete(const std::string& digest) const;
  void DeleteAllBut(const std::set<std::string>& wanted) const;

 private:
  explicit BlobFiles(std::string folder) : folder_(std::move(folder)) {}
  std::string PathOf(const std::string& digest) const { return folder_ + "/" + digest; }

  std::string folder_;
};

}  // namespace antidiffusion
