// Where the values of a network's parameters lie in files.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/checkpoint/safetensors.h"

namespace antidiffusion {

// One tensor of a file, a part of it, or its transpose: some checkpoints keep the matrices of
// queries, keys and values in one, or a matrix the other way round.
struct TensorSource {
  const SafetensorsFile* file = nullptr;  // must outlive this
  std::string name;                       // in the file
  // Rows [first_row, first_row + rows) along the first dimension. rows 0: all of them.
  int64_t first_row = 0;
  int64_t rows = 0;
  bool transposed = false;  // rows and columns of a matrix exchanged
  bool pointwise = false;   // may be [N,M,1,1], the weight of a 1x1 convolution, for [N,M]

  // Of what Read gives. Errors as SafetensorsFile's, and DATA_LOSS when the file's tensor has not
  // these rows or is no matrix.
  absl::StatusOr<std::vector<int64_t>> Shape() const;

  // In the file's dtype, on the CPU, contiguous. Throws c10::Error when memory runs out.
  absl::StatusOr<at::Tensor> Read() const;

  std::string Label() const;  // path and name for messages
};

using TensorSources = std::map<std::string, TensorSource>;  // by the parameter's name

// SHA-256, hex, of the values in float32 with their names and shapes: equal for equal weights,
// whatever files, dtypes and layouts they come in, as long as those hold the same numbers. Errors
// as Read's.
absl::StatusOr<std::string> DigestOfTensors(const TensorSources& sources);

}  // namespace antidiffusion
