// Columns for people.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace antidiffusion {

// Each column as wide as its widest cell, two spaces between them. Cells are made harmless for a
// terminal. Rows must have the same number of cells.
void WriteTable(std::vector<std::vector<std::string>> rows, std::ostream& out);

}  // namespace antidiffusion
