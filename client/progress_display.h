// What a person sees while files are worked on.
#pragma once

#include <functional>
#include <map>
#include <ostream>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "antidiffusion/v1/protection.pb.h"
#include "base/mutex.h"

namespace antidiffusion {

struct DisplayOptions {
  // On a terminal: a bar a file, redrawn in place. Elsewhere: a line when a file meets a stage for
  // the first time, and after that one every `line_interval` at most.
  bool terminal = false;
  std::function<int()> terminal_rows = [] { return 24; };
  absl::Duration redraw_interval = absl::Milliseconds(100);
  absl::Duration line_interval = absl::Seconds(5);
  std::function<absl::Time()> now = [] { return absl::Now(); };
};

// Thread-safe. Names, events and notes are made harmless for a terminal; whole lines are
// written as they are.
class ProgressDisplay {
 public:
  // `progress`, usually std::cerr, must outlive this.
  ProgressDisplay(std::ostream& progress, DisplayOptions options);

  // A file's work begins; the number is its row's.
  int Begin(absl::string_view name);
  // Any event but the result.
  void Update(int row, const v1::JobEvent& event);
  // Something a person should know at once, as that an attempt is repeated.
  void Note(int row, absl::string_view text);
  // The row goes, and `line` is written to `out`, which may be the same terminal.
  void End(int row, std::ostream& out, absl::string_view line);
  // The row goes without a word.
  void Remove(int row);

  // Lines that belong to no row: on `out`, or on the progress stream.
  void Print(std::ostream& out, absl::string_view line);
  void Announce(absl::string_view line);

 private:
  struct Row {
    std::string name;
    std::string stage;
    std::string text;
    double fraction = -1;  // none yet
    absl::Time printed = absl::InfinitePast();
    std::map<std::string, bool> stages;  // those met
  };

  void Write(std::ostream& out, absl::string_view line) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ShowLine(Row& row) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Redraw(bool force) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What moves the cursor to where the bars begin and empties the screen from there.
  std::string Erase() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string Bars() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const DisplayOptions options_;
  Mutex mutex_;
  std::ostream& progress_ ABSL_GUARDED_BY(mutex_);
  std::map<int, Row> rows_ ABSL_GUARDED_BY(mutex_);
  int next_row_ ABSL_GUARDED_BY(mutex_) = 0;
  int drawn_ ABSL_GUARDED_BY(mutex_) = 0;  // bars on the screen
  absl::Time drawn_at_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

}  // namespace antidiffusion
