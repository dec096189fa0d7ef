#include "tests/core/checkpoint/safetensors_writer.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace antidiffusion {
namespace {

std::string DtypeName(c10::ScalarType type) {
  switch (type) {
    case c10::kDouble:
      return "F64";
    case c10::kFloat:
      return "F32";
    case c10::kHalf:
      return "F16";
    case c10::kBFloat16:
      return "BF16";
    case c10::kLong:
      return "I64";
    case c10::kInt:
      return "I32";
    case c10::kShort:
      return "I16";
    case c10::kChar:
      return "I8";
    case c10::kByte:
      return "U8";
    case c10::kBool:
      return "BOOL";
    default:
      throw std::runtime_error("safetensors has no such dtype");
  }
}

}  // namespace

std::string RawSafetensorsBytes(const std::string& header, const std::string& data,
                                int64_t header_bytes) {
  uint64_t length = header_bytes < 0 ? header.size() : static_cast<uint64_t>(header_bytes);
  std::string bytes;
  for (int i = 0; i < 8; ++i, length >>= 8) bytes.push_back(static_cast<char>(length & 0xFF));
  return bytes + header + data;
}

std::string SafetensorsBytes(const TensorMap& tensors) {
  nlohmann::json header = nlohmann::json::object();
  header["__metadata__"] = {{"format", "pt"}};
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor contiguous = tensor.contiguous();
    const size_t begin = data.size();
    data.append(static_cast<const char*>(contiguous.const_data_ptr()), contiguous.nbytes());
    header[name] = {{"dtype", DtypeName(tensor.scalar_type())},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {begin, data.size()}}};
  }
  return RawSafetensorsBytes(header.dump(), data);
}

void WriteSafetensors(const std::string& path, const TensorMap& tensors) {
  std::ofstream file(path, std::ios::binary);
  const std::string bytes = SafetensorsBytes(tensors);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

TensorMap ReadSafetensors(const std::string& path) {
  auto file = SafetensorsFile::Open(path);
  if (!file.ok()) throw std::runtime_error(file.status().ToString());
  TensorMap tensors;
  for (const std::string& name : file->names()) tensors[name] = file->Read(name).value();
  return tensors;
}

}  // namespace antidiffusion
