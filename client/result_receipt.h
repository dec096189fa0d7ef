// A result as it comes in: the facts first, then the image in pieces, over as many streams as it
// takes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "antidiffusion/v1/protection.pb.h"

namespace antidiffusion {

struct ReceivedResult {
  v1::ProtectionResult facts;
  std::string image;  // the encoded file
};

// Not thread-safe.
class ResultReceipt {
 public:
  // Largest image that is taken, in bytes; what a server announces beyond it is an error.
  static constexpr int64_t kMaxImageBytes = int64_t{1} << 30;

  // An event that is a result or a chunk. INTERNAL: not the piece that follows what is there, or an
  // image of a size that cannot be.
  absl::Status Take(v1::JobEvent event);

  bool begun() const { return facts_.has_value(); }
  int64_t bytes() const { return static_cast<int64_t>(image_.size()); }

  // INTERNAL: there is no result, or its image is empty or not all there.
  absl::StatusOr<ReceivedResult> Finish() &&;

 private:
  absl::Status TakeFacts(v1::ProtectionResult facts);

  std::optional<v1::ProtectionResult> facts_;
  std::string image_;
};

}  // namespace antidiffusion
