// Room for results on their way to readers: however many readers there are and however slowly they
// read, what is copied for them stays within a limit.
#pragma once

#include <cstdint>
#include <list>
#include <unordered_map>

#include "base/mutex.h"

namespace antidiffusion {

// A reader is known by its address. First come, first served: a large result is not overtaken for
// ever by small ones. One that is larger than the limit gets in alone. Those that wait in line hold
// no copy yet, but keep their job's result alive: the line has the same limit. Thread-safe.
class ResultRoom {
 public:
  // `limit`: bytes.
  explicit ResultRoom(int64_t limit) : limit_(limit) {}

  enum class Answer { kIn, kInLine, kFull };  // kInLine: ask again later; kFull: not in line
  Answer Ask(const void* reader, int64_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);

  // Gives back what `reader` has, or its place in line. Nothing where it never asked.
  void Leave(const void* reader) ABSL_LOCKS_EXCLUDED(mutex_);

  // Bytes of those that are in or in line.
  int64_t bytes() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Line = std::list<const void*>;
  struct Place {
    int64_t bytes = 0;
    bool inside = false;
    Line::iterator in_line;  // unless inside
  };
  void LetIn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const int64_t limit_;
  mutable Mutex mutex_;
  std::unordered_map<const void*, Place> places_ ABSL_GUARDED_BY(mutex_);
  Line line_ ABSL_GUARDED_BY(mutex_);
  int64_t bytes_inside_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t bytes_in_line_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace antidiffusion
