#include "client/progress_display.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/terminal_text.h"

namespace antidiffusion {
namespace {

constexpr int kBarWidth = 24;
constexpr int kNameWidth = 28;

std::string Eta(double seconds) {
  return seconds > 0 ? absl::StrCat(", ETA ", FormatSeconds(absl::Seconds(seconds))) : "";
}

std::string Describe(const v1::JobEvent& event) {
  switch (event.event_case()) {
    case v1::JobEvent::kQueued:
      return absl::StrCat("queued, ", event.queued().position(), " before it",
                          Eta(event.queued().eta_seconds()));
    case v1::JobEvent::kRunning:
      return absl::StrCat("running, model ", event.running().model(), " on ",
                          event.running().device());
    case v1::JobEvent::kProgress: {
      const v1::Progress& progress = event.progress();
      std::string text = progress.stage();
      if (progress.total() > 0) {
        absl::StrAppend(&text, " ", progress.step(), "/", progress.total());
      }
      if (progress.loss() != 0) absl::StrAppendFormat(&text, ", loss %.4g", progress.loss());
      return absl::StrCat(text, Eta(progress.eta_seconds()));
    }
    default:
      return "";
  }
}

std::string StageOf(const v1::JobEvent& event) {
  if (event.has_queued()) return "queued";
  if (event.has_running()) return "running";
  return event.progress().stage();
}

double Clamp(double fraction) {
  return std::isfinite(fraction) ? std::clamp(fraction, 0.0, 1.0) : 0.0;
}

int Percent(double fraction) { return static_cast<int>(std::floor(100 * fraction)); }

std::string Bar(double fraction) {
  const int filled = static_cast<int>(std::floor(kBarWidth * fraction));
  return absl::StrCat("[", std::string(filled, '#'), std::string(kBarWidth - filled, '.'), "]");
}

}  // namespace

ProgressDisplay::ProgressDisplay(std::ostream& progress, DisplayOptions options)
    : options_(std::move(options)), progress_(progress) {}

int ProgressDisplay::Begin(absl::string_view name) {
  MutexLock lock(mutex_);
  const int row = next_row_++;
  rows_[row].name = PrintableText(name);
  rows_[row].text = "sending";
  Redraw(/*force=*/true);
  return row;
}

void ProgressDisplay::Update(int row, const v1::JobEvent& event) {
  MutexLock lock(mutex_);
  const auto found = rows_.find(row);
  if (found == rows_.end()) return;
  Row& shown = found->second;
  shown.stage = PrintableText(StageOf(event));
  shown.text = PrintableText(Describe(event));
  if (event.has_progress()) shown.fraction = Clamp(event.progress().fraction());
  if (options_.terminal) {
    Redraw(/*force=*/false);
  } else if (shown.stages.emplace(shown.stage, true).second ||
             options_.now() - shown.printed >= options_.line_interval) {
    ShowLine(shown);
  }
}

void ProgressDisplay::Note(int row, absl::string_view text) {
  MutexLock lock(mutex_);
  const auto found = rows_.find(row);
  if (found == rows_.end()) return;
  Write(progress_, absl::StrCat(found->second.name, ": ", PrintableText(text)));
}

void ProgressDisplay::End(int row, std::ostream& out, absl::string_view line) {
  MutexLock lock(mutex_);
  rows_.erase(row);
  Write(out, line);
}

void ProgressDisplay::Remove(int row) {
  MutexLock lock(mutex_);
  rows_.erase(row);
  Redraw(/*force=*/true);
}

void ProgressDisplay::Print(std::ostream& out, absl::string_view line) {
  MutexLock lock(mutex_);
  Write(out, line);
}

void ProgressDisplay::Announce(absl::string_view line) {
  MutexLock lock(mutex_);
  Write(progress_, line);
}

void ProgressDisplay::Write(std::ostream& out, absl::string_view line) {
  if (options_.terminal) progress_ << Erase() << std::flush;
  out << line << "\n" << std::flush;
  Redraw(/*force=*/true);
}

void ProgressDisplay::ShowLine(Row& row) {
  row.printed = options_.now();
  progress_ << row.name << ": ";
  if (row.fraction >= 0) progress_ << Percent(row.fraction) << "%, ";
  progress_ << row.text << "\n" << std::flush;
}

void ProgressDisplay::Redraw(bool force) {
  if (!options_.terminal) return;
  const absl::Time now = options_.now();
  if (!force && now - drawn_at_ < options_.redraw_interval) return;
  drawn_at_ = now;
  std::string frame = Erase();
  absl::StrAppend(&frame, Bars());
  progress_ << frame << std::flush;
}

std::string ProgressDisplay::Erase() {
  const int lines = std::exchange(drawn_, 0);
  return lines > 0 ? absl::StrCat("\x1b[", lines, "A\r\x1b[J") : "";
}

std::string ProgressDisplay::Bars() {
  // The terminal cuts what is too wide (no wrapping between ?7l and ?7h): a bar is always one line,
  // whatever the width of the characters in a name. More bars than lines could not be erased again.
  const int room = std::max(options_.terminal_rows() - 1, 1);
  std::string bars = "\x1b[?7l";
  for (const auto& [number, row] : rows_) {
    if (drawn_ == room) break;
    absl::StrAppendFormat(&bars, "%-*s ", kNameWidth, LastCharacters(row.name, kNameWidth));
    if (row.fraction >= 0) {
      absl::StrAppendFormat(&bars, "%s %3d%%  ", Bar(row.fraction), Percent(row.fraction));
    }
    absl::StrAppend(&bars, row.text, "\n");
    ++drawn_;
  }
  return absl::StrCat(bars, "\x1b[?7h");
}

}  // namespace antidiffusion
