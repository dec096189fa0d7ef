// Early return on an error status. Both macros evaluate their expression once and
// work in functions that return absl::Status or absl::StatusOr<T>.
//
//   AD_RETURN_IF_ERROR(options.Validate());
//   AD_ASSIGN_OR_RETURN(Image image, DecodeImage(bytes, limits));
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define AD_RETURN_IF_ERROR(expression)                                            \
  do {                                                                            \
    if (absl::Status ad_status = (expression); !ad_status.ok()) return ad_status; \
  } while (false)

#define AD_CONCAT_INNER(a, b) a##b
#define AD_CONCAT(a, b) AD_CONCAT_INNER(a, b)

#define AD_ASSIGN_OR_RETURN(lhs, expression) \
  AD_ASSIGN_OR_RETURN_IMPL(AD_CONCAT(ad_status_or_, __LINE__), lhs, expression)

#define AD_ASSIGN_OR_RETURN_IMPL(status_or, lhs, expression) \
  auto status_or = (expression);                             \
  if (!status_or.ok()) return status_or.status();            \
  lhs = std::move(status_or).value()
