// Where exceptions end: OpenCV throws, and every allocation may.
#pragma once

#include "absl/status/status.h"

namespace antidiffusion {

// For a catch block only: the exception that is being handled, as a status. RESOURCE_EXHAUSTED when
// memory ran out, else `code`. What is no std::exception is thrown on.
absl::Status StatusOfException(absl::StatusCode code);

// Runs `body`, which returns a Status or a StatusOr; what it throws becomes its result.
template <typename Body>
auto CatchExceptions(absl::StatusCode code, const Body& body) -> decltype(body()) {
  try {
    return body();
  } catch (...) {
    return StatusOfException(code);
  }
}

}  // namespace antidiffusion
