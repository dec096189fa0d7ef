// bf16 computation over fp32 weights.
#pragma once

#include <ATen/autocast_mode.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

namespace antidiffusion {

// While it lives, convolutions and matrix products of this thread on `device`'s type compute in
// `precision`; no effect with kFloat. The casts that torch keeps are dropped at the end.
class AutocastScope {
 public:
  AutocastScope(c10::Device device, c10::ScalarType precision)
      : type_(device.type()), active_(precision != at::kFloat) {
    if (!active_) return;
    was_enabled_ = at::autocast::is_autocast_enabled(type_);
    was_type_ = at::autocast::get_autocast_dtype(type_);
    at::autocast::set_autocast_enabled(type_, true);
    at::autocast::set_autocast_dtype(type_, precision);
    at::autocast::increment_nesting();
  }
  ~AutocastScope() {
    if (!active_) return;
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(type_, was_enabled_);
    at::autocast::set_autocast_dtype(type_, was_type_);
  }
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  c10::DeviceType type_;
  bool active_;
  bool was_enabled_ = false;
  c10::ScalarType was_type_ = at::kFloat;
};

}  // namespace antidiffusion
