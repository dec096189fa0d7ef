#include "core/image/catch_exceptions.h"

#include <exception>
#include <new>
#include <opencv2/core.hpp>

#include "absl/strings/str_cat.h"

namespace antidiffusion {

absl::Status StatusOfException(absl::StatusCode code) {
  try {
    throw;
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
