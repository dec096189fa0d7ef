#include "server/result_room.h"

namespace antidiffusion {

ResultRoom::Answer ResultRoom::Ask(const void* reader, int64_t bytes) {
  MutexLock lock(mutex_);
  if (!places_.contains(reader)) {
    if (!line_.empty() && bytes_in_line_ + bytes > limit_) return Answer::kFull;
    places_[reader] = {.bytes = bytes, .in_line = line_.insert(line_.end(), reader)};
    bytes_in_line_ += bytes;
    LetIn();
  }
  return places_[reader].inside ? Answer::kIn : Answer::kInLine;
}

void ResultRoom::Leave(const void* reader) {
  MutexLock lock(mutex_);
  const auto found = places_.find(reader);
  if (found == places_.end()) return;
  const Place& place = found->second;
  if (place.inside) {
    bytes_inside_ -= place.bytes;
  } else {
    bytes_in_line_ -= place.bytes;
    line_.erase(place.in_line);
  }
  places_.erase(found);
  LetIn();
}

int64_t ResultRoom::bytes() const {
  MutexLock lock(mutex_);
  return bytes_inside_ + bytes_in_line_;
}

void ResultRoom::LetIn() {
  while (!line_.empty()) {
    Place& first = places_[line_.front()];
    const bool alone = places_.size() == line_.size();
    if (!alone && bytes_inside_ + first.bytes > limit_) return;
    bytes_in_line_ -= first.bytes;
    bytes_inside_ += first.bytes;
    first.inside = true;
    line_.pop_front();
  }
}

}  // namespace antidiffusion
