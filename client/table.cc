#include "client/table.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "client/terminal_text.h"

namespace antidiffusion {

void WriteTable(std::vector<std::vector<std::string>> rows, std::ostream& out) {
  std::vector<size_t> widths(rows.empty() ? 0 : rows.front().size());
  for (auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      row[i] = PrintableText(row[i]);
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      absl::StrAppendFormat(&line, "%-*s  ", static_cast<int>(widths[i]), row[i]);
    }
    out << line.substr(0, line.find_last_not_of(' ') + 1) << "\n";
  }
}

}  // namespace antidiffusion
