// `antidiffusion compare`: what the protection changed, for the eye and in numbers.
#pragma once

#include <ostream>

#include "client/command_line.h"

namespace antidiffusion {

// Writes the picture and a line with the largest difference, PSNR and SSIM on `out`. Gives the exit
// code; an error is a line on `err`.
int RunCompare(const CompareSettings& settings, std::ostream& out, std::ostream& err);

}  // namespace antidiffusion
