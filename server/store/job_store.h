// The journal of the kept jobs: what must survive the process.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace antidiffusion {

// One row. Texts and enums are the server's; nothing here understands them.
struct StoredJob {
  std::string name;
  std::string tenant;
  std::string request_id;
  std::string request;  // without the image, serialised
  std::string request_hash;
  std::string cache_key;
  std::string image_digest;  // the file of the image while the job is not done, else ""
  int64_t image_bytes = 0;
  int priority = 0;
  std::string trace;
  absl::Time created;
  absl::Time deadline = absl::InfiniteFuture();
  int state = 0;
  int attempts = 0;
  uint64_t sequence = 0;
  absl::Time started = absl::InfinitePast();
  absl::Time ended = absl::InfinitePast();
  absl::Time expires = absl::InfiniteFuture();
  std::string error;          // of the end, serialised
  std::string result;         // without the image, serialised
  std::string result_digest;  // the file of the image
  int64_t result_bytes = 0;
};

// The bytes behind the digests of a row, where they may have to be written; borrowed.
struct StoredBytes {
  const std::string* image = nullptr;
  const std::string* result = nullptr;
};

// A part of a file.
struct StoredPiece {
  std::string digest;
  int64_t offset = 0;
  int64_t size = 0;    // bytes at most; fewer come where the file ends
  bool check = false;  // read the whole file first: whether it is what was written
};

// Blocks on a disk: for one thread, StoreThread's.
class JobStore {
 public:
  virtual ~JobStore() = default;

  // Writes the row and the files it names, and deletes those that it names no longer and nobody
  // else does. `durable`: on the disk when it returns, else a power failure (not the end of the
  // process) may lose it. UNAVAILABLE: nothing has changed.
  virtual absl::Status Save(const StoredJob& job, const StoredBytes& bytes, bool durable) = 0;

  // The same for a row that is no longer wanted; OK when there is none.
  virtual absl::Status Delete(const std::string& name) = 0;

  // The file of an image. NOT_FOUND, UNAVAILABLE; DATA_LOSS: not the bytes that were written.
  virtual absl::StatusOr<std::string> ReadFile(const std::string& digest) = 0;
  // Errors as above; DATA_LOSS without `check` only where nothing is left at the offset.
  virtual absl::StatusOr<std::string> ReadPiece(const StoredPiece& piece) = 0;

  // Every row, in the order of creation; files that no row names are deleted.
  virtual absl::StatusOr<std::vector<StoredJob>> LoadAll() = 0;
};

}  // namespace antidiffusion
