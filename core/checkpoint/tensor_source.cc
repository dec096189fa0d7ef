#include "core/checkpoint/tensor_source.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"

namespace antidiffusion {

absl::StatusOr<std::vector<int64_t>> TensorSource::Shape() const {
  AD_ASSIGN_OR_RETURN(std::vector<int64_t> shape, file->Shape(name));
  if (rows > 0) {
    if (shape.empty() || rows > shape[0] || first_row > shape[0] - rows) {
      return absl::DataLossError(
          absl::StrCat(Label(), " has no rows ", first_row, " to ", first_row + rows - 1));
    }
    shape[0] = rows;
  }
  if (transposed) {
    if (shape.size() != 2) return absl::DataLossError(absl::StrCat(Label(), " is no matrix"));
    std::swap(shape[0], shape[1]);
  }
  return shape;
}

absl::StatusOr<at::Tensor> TensorSource::Read() const {
  AD_RETURN_IF_ERROR(Shape().status());
  AD_ASSIGN_OR_RETURN(at::Tensor tensor, file->Read(name));
  if (rows > 0) tensor = tensor.narrow(0, first_row, rows);
  if (transposed) tensor = tensor.t();
  return tensor.contiguous();
}

std::string TensorSource::Label() const {
  return absl::StrCat(file->path(), ": \"", absl::CHexEscape(name), "\"");
}

absl::StatusOr<std::string> DigestOfTensors(const TensorSources& sources) {
  Sha256 sha;
  for (const auto& [name, source] : sources) {
    AD_ASSIGN_OR_RETURN(const at::Tensor tensor, source.Read());
    const at::Tensor values = tensor.to(at::kFloat);
    // A 1x1 convolution and a matrix are the same numbers in the same order.
    std::vector<int64_t> shape = values.sizes().vec();
    if (source.pointwise && shape.size() == 4 && shape[2] == 1 && shape[3] == 1) shape.resize(2);
    sha.Update(absl::StrCat(name, "[", absl::StrJoin(shape, ","), "]\n"));
    sha.Update({static_cast<const char*>(values.const_data_ptr()), values.nbytes()});
  }
  return sha.FinishHex();
}

}  // namespace antidiffusion
