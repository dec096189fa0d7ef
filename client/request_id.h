// Names for requests.
#pragma once

#include <string>

namespace antidiffusion {

// 128 random bits as 32 hexadecimal digits. Kept over all attempts of a request, so that a server
// takes a repeated one for what it is.
std::string MakeRequestId();

}  // namespace antidiffusion
