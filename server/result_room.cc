#include "server/result_room.h"

#include <algorithm>

namespace antidiffusion {

ResultRoom::Answer ResultRoom::Ask(const void* reader, int64_t bytes) {
  MutexLock lock(mutex_);
  if (inside_.contains(reader)) return Answer::kIn;
  const bool in_line = std::any_of(line_.begin(), line_.end(),
                                   [&](const Asker& asker) { return asker.reader == reader; });
  if (!in_line) {
    if (!line_.empty() && bytes_in_line_ + bytes > limit_) return Answer::kFull;
    line_.push_back({reader, bytes});
    bytes_in_line_ += bytes;
    LetIn();
  }
  return inside_.contains(reader) ? Answer::kIn : Answer::kInLine;
}

void ResultRoom::Leave(const void* reader) {
  MutexLock lock(mutex_);
  if (const auto found = inside_.find(reader); found != inside_.end()) {
    bytes_inside_ -= found->second;
    inside_.erase(found);
  } else {
    const auto place = std::find_if(line_.begin(), line_.end(),
                                    [&](const Asker& asker) { return asker.reader == reader; });
    if (place == line_.end()) return;
    bytes_in_line_ -= place->bytes;
    line_.erase(place);
  }
  LetIn();
}

int64_t ResultRoom::bytes() const {
  MutexLock lock(mutex_);
  return bytes_inside_ + bytes_in_line_;
}

void ResultRoom::LetIn() {
  while (!line_.empty() && (inside_.empty() || bytes_inside_ + line_.front().bytes <= limit_)) {
    const Asker first = line_.front();
    line_.pop_front();
    bytes_in_line_ -= first.bytes;
    bytes_inside_ += first.bytes;
    inside_.emplace(first.reader, first.bytes);
  }
}

}  // namespace antidiffusion
