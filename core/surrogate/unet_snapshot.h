// The pristine weights of a UNet that surrogate tuning moves.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "core/models/unet.h"

namespace antidiffusion {

// One copy of all weights, on the UNet's device. Thread-compatible; `unet` is shared with whoever
// tunes it.
class UNetSnapshot {
 public:
  explicit UNetSnapshot(UNet unet);

  // The weights as they were when the snapshot was taken, bit for bit. A copy, no reload.
  void Restore();

  // L2 distance of all weights from the snapshot.
  double Drift() const;

  // Whether every weight equals the snapshot's bit for bit (NaN differs).
  bool IsPristine() const;

 private:
  std::vector<at::Tensor> live_;      // the UNet's own parameters
  std::vector<at::Tensor> pristine_;  // in the same order
};

}  // namespace antidiffusion
