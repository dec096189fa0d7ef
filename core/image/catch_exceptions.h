// Where exceptions end: OpenCV throws, and every allocation may.
#pragma once

#include <exception>
#include <new>
#include <opencv2/core.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace antidiffusion {

// Runs `body`, which returns a Status or a StatusOr; what it throws becomes its result:
// RESOURCE_EXHAUSTED when memory ran out, else `code`.
template <typename Body>
auto CatchExceptions(absl::StatusCode code, const Body& body) -> decltype(body()) {
  try {
    return body();
  } catch (const cv::Exception& e) {
    if (e.code == cv::Error::StsNoMem) return absl::ResourceExhaustedError("out of memory");
    return absl::Status(code, absl::StrCat("OpenCV: ", e.err));
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("out of memory");
  } catch (const std::exception& e) {
    return absl::Status(code, e.what());
  }
}

}  // namespace antidiffusion
