#include "client/result_receipt.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace antidiffusion {

absl::Status ResultReceipt::Take(v1::JobEvent event) {
  if (event.has_result()) return TakeFacts(std::move(*event.mutable_result()));
  const v1::ImageChunk& chunk = event.chunk();
  if (!begun() || chunk.offset() != bytes() || chunk.data().empty() ||
      static_cast<int64_t>(chunk.data().size()) > facts_->image_bytes() - bytes()) {
    return absl::InternalError(absl::StrCat("the server sent ", chunk.data().size(),
                                            " bytes of the image from byte ", chunk.offset(),
                                            " on, after ", bytes(), " bytes"));
  }
  image_ += chunk.data();
  return absl::OkStatus();
}

// A download that goes on after a stream broke begins with the same facts again.
absl::Status ResultReceipt::TakeFacts(v1::ProtectionResult facts) {
  const int64_t size = facts.image_bytes();
  if (size < 0 || size > kMaxImageBytes || (begun() && size != facts_->image_bytes())) {
    return absl::InternalError(absl::StrCat("the server announced an image of ", size, " bytes"));
  }
  image_.reserve(static_cast<size_t>(size));
  facts_ = std::move(facts);
  return absl::OkStatus();
}

absl::StatusOr<ReceivedResult> ResultReceipt::Finish() && {
  if (!begun()) return absl::InternalError("the server ended the job without a result");
  if (facts_->image_bytes() == 0) {
    return absl::InternalError("the server's result holds no image");
  }
  if (bytes() != facts_->image_bytes()) {
    return absl::InternalError(absl::StrCat("the server sent ", bytes(), " of the image's ",
                                            facts_->image_bytes(), " bytes"));
  }
  return ReceivedResult{*std::move(facts_), std::move(image_)};
}

}  // namespace antidiffusion
