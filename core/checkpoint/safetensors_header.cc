#include "core/checkpoint/safetensors_header.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/json_file.h"
#include "core/base/status_macros.h"

namespace antidiffusion {
namespace {

using Json = nlohmann::json;

constexpr size_t kLengthBytes = 8;
// Published checkpoints have at most 1 MB; the rest is for notes of training tools. Parsed it takes
// some ten times as much memory.
constexpr uint64_t kMaxHeaderBytes = 16'000'000;
constexpr size_t kMaxNameBytes = 1024;
constexpr size_t kMaxRank = 64;  // torch's own limit
constexpr char kMetadataKey[] = "__metadata__";
constexpr int64_t kBitsAByte = 8;

struct KnownDtype {
  SafetensorsDtype dtype;
  absl::string_view name;
  int64_t bits;
};
constexpr KnownDtype kDtypes[] = {{SafetensorsDtype::kF64, "F64", 64},
                                  {SafetensorsDtype::kF32, "F32", 32},
                                  {SafetensorsDtype::kF16, "F16", 16},
                                  {SafetensorsDtype::kBF16, "BF16", 16},
                                  {SafetensorsDtype::kI64, "I64", 64},
                                  {SafetensorsDtype::kI32, "I32", 32},
                                  {SafetensorsDtype::kI16, "I16", 16},
                                  {SafetensorsDtype::kI8, "I8", 8},
                                  {SafetensorsDtype::kU8, "U8", 8},
                                  {SafetensorsDtype::kBool, "BOOL", 8},
                                  {SafetensorsDtype::kU64, "U64", 64},
                                  {SafetensorsDtype::kU32, "U32", 32},
                                  {SafetensorsDtype::kU16, "U16", 16},
                                  {SafetensorsDtype::kC64, "C64", 64},
                                  {SafetensorsDtype::kF8E4M3, "F8_E4M3", 8},
                                  {SafetensorsDtype::kF8E5M2, "F8_E5M2", 8},
                                  {SafetensorsDtype::kF8E8M0, "F8_E8M0", 8},
                                  {SafetensorsDtype::kF8E4M3Fnuz, "F8_E4M3FNUZ", 8},
                                  {SafetensorsDtype::kF8E5M2Fnuz, "F8_E5M2FNUZ", 8},
                                  {SafetensorsDtype::kF6E2M3, "F6_E2M3", 6},
                                  {SafetensorsDtype::kF6E3M2, "F6_E3M2", 6},
                                  {SafetensorsDtype::kF4, "F4", 4}};

const KnownDtype& Known(SafetensorsDtype dtype) {
  return *std::find_if(std::begin(kDtypes), std::end(kDtypes),
                       [dtype](const KnownDtype& known) { return known.dtype == dtype; });
}

std::optional<SafetensorsDtype> DtypeByName(absl::string_view name) {
  for (const KnownDtype& known : kDtypes) {
    if (name == known.name) return known.dtype;
  }
  return std::nullopt;
}

absl::Status Broken(absl::string_view reason) {
  return absl::DataLossError(absl::StrCat("not a valid safetensors file: ", reason));
}

absl::Status BrokenEntry(absl::string_view name, absl::string_view reason) {
  return Broken(absl::StrCat("\"", absl::CHexEscape(name), "\": ", reason));
}

absl::Status CheckMetadata(const Json& metadata) {
  if (metadata.is_object() &&
      std::all_of(metadata.begin(), metadata.end(), [](const Json& v) { return v.is_string(); })) {
    return absl::OkStatus();
  }
  return BrokenEntry(kMetadataKey, "no object of strings");
}

// The numbers of a list; nullopt unless it holds up to `most` whole ones in [0, 2^63).
std::optional<std::vector<uint64_t>> Numbers(const Json& list, size_t most) {
  if (!list.is_array() || list.size() > most) return std::nullopt;
  std::vector<uint64_t> numbers;
  for (const Json& value : list) {
    if (!value.is_number_unsigned() || value.get<uint64_t>() >> 63 != 0) return std::nullopt;
    numbers.push_back(value.get<uint64_t>());
  }
  return numbers;
}

absl::StatusOr<SafetensorsEntry> ParseEntry(const std::string& name, const Json& json) {
  const auto dtype_name = json.find("dtype");
  const auto shape_list = json.find("shape");
  const auto offset_list = json.find("data_offsets");
  if (json.size() != 3 || dtype_name == json.end() || shape_list == json.end() ||
      offset_list == json.end() || !dtype_name->is_string()) {
    return BrokenEntry(name, "needs a dtype, a shape and data_offsets, and nothing else");
  }
  const auto& word = dtype_name->get_ref<const std::string&>();
  const std::optional<SafetensorsDtype> dtype = DtypeByName(word);
  if (!dtype.has_value()) {
    return BrokenEntry(name, absl::StrCat("unknown dtype ", absl::CHexEscape(word.substr(0, 32))));
  }
  const auto shape = Numbers(*shape_list, kMaxRank);
  if (!shape.has_value()) {
    return BrokenEntry(name, "its shape is no list of at most 64 dimensions below 2^63");
  }
  const auto offsets = Numbers(*offset_list, 2);
  if (!offsets.has_value() || offsets->size() != 2) {
    return BrokenEntry(name, "data_offsets needs 2 numbers below 2^63");
  }
  return SafetensorsEntry{
      *dtype, {shape->begin(), shape->end()}, offsets->front(), offsets->back()};
}

// Offsets stay relative to the data.
absl::StatusOr<SafetensorsEntries> ParseEntries(const Json& header) {
  SafetensorsEntries entries;
  for (const auto& [name, json] : header.items()) {
    if (name.size() > kMaxNameBytes) return Broken("a name of over 1024 bytes");
    if (name == kMetadataKey) {
      AD_RETURN_IF_ERROR(CheckMetadata(json));
      continue;
    }
    AD_ASSIGN_OR_RETURN(SafetensorsEntry entry, ParseEntry(name, json));
    entries.emplace_hint(entries.end(), name, std::move(entry));
  }
  return entries;
}

// What people have under the name of a .safetensors file and take for one; "" for anything else.
absl::string_view OtherKindOfFile(absl::string_view file) {
  if (IsLfsPointer(file)) {
    return "a git-LFS pointer in place of the file; `git lfs pull` fetches it";
  }
  const std::string start =
      absl::AsciiStrToLower(absl::StripLeadingAsciiWhitespace(file.substr(0, 64)));
  if (absl::StartsWith(start, "<!doctype") || absl::StartsWith(start, "<html")) {
    return "an HTML page, as a download saves that needed a login or a licence accepted";
  }
  if (absl::StartsWith(file, "PK\x03\x04") || absl::StartsWith(file, "\x80\x02")) {
    return "a pickled PyTorch file under another name";
  }
  if (absl::StartsWith(file, "GGUF")) return "a GGUF file";
  return "";
}

// Bytes that `entry` should have; nullopt when their bits do not fit in 64 bits, or are no bytes.
std::optional<uint64_t> ExpectedBytes(const SafetensorsEntry& entry) {
  auto bits = static_cast<uint64_t>(BitSize(entry.dtype));
  // A zero makes the product zero whatever the others are, so it is looked for first.
  if (std::find(entry.shape.begin(), entry.shape.end(), 0) != entry.shape.end()) bits = 0;
  for (const int64_t dimension : entry.shape) {
    if (__builtin_mul_overflow(bits, static_cast<uint64_t>(dimension), &bits)) return std::nullopt;
  }
  if (bits % kBitsAByte != 0) return std::nullopt;
  return bits / kBitsAByte;
}

// Proves that the entries (offsets relative to the data) tile [0, data_bytes).
absl::Status CheckLayout(const SafetensorsEntries& entries, uint64_t data_bytes) {
  std::vector<const SafetensorsEntries::value_type*> in_order;
  in_order.reserve(entries.size());
  for (const auto& item : entries) in_order.push_back(&item);
  std::sort(in_order.begin(), in_order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  uint64_t position = 0;
  for (const auto* item : in_order) {
    const auto& [name, entry] = *item;
    if (entry.end < entry.begin || entry.end > data_bytes) {
      return BrokenEntry(name, "lies outside of the file");
    }
    if (entry.begin != position) return BrokenEntry(name, "overlaps another or leaves a hole");
    if (ExpectedBytes(entry) != entry.end - entry.begin) {
      return BrokenEntry(name, "its size is not that of its shape");
    }
    position = entry.end;
  }
  if (position != data_bytes) return Broken("bytes that belong to no tensor");
  return absl::OkStatus();
}

}  // namespace

int64_t BitSize(SafetensorsDtype dtype) { return Known(dtype).bits; }

absl::string_view DtypeName(SafetensorsDtype dtype) { return Known(dtype).name; }

bool IsLfsPointer(absl::string_view file) {
  return absl::StartsWithIgnoreCase(absl::StripLeadingAsciiWhitespace(file.substr(0, 64)),
                                    "version https://git-lfs");
}

absl::StatusOr<SafetensorsEntries> ParseSafetensorsHeader(absl::string_view file) {
  const bool has_object = file.size() > kLengthBytes && file[kLengthBytes] == '{';
  if (const absl::string_view other = has_object ? "" : OtherKindOfFile(file); !other.empty()) {
    return Broken(other);
  }
  if (file.size() < kLengthBytes) return Broken("shorter than 8 bytes");
  uint64_t header_bytes = 0;  // little-endian in the file
  for (size_t i = kLengthBytes; i-- > 0;) {
    header_bytes = (header_bytes << 8) | static_cast<unsigned char>(file[i]);
  }
  if (header_bytes > kMaxHeaderBytes) {
    return Broken(absl::StrCat("header of ", header_bytes, " bytes, limit ", kMaxHeaderBytes));
  }
  if (header_bytes > file.size() - kLengthBytes) {
    return Broken(absl::StrCat("header of ", header_bytes, " bytes in a file of ", file.size()));
  }
  const absl::string_view header = file.substr(kLengthBytes, header_bytes);
  if (header.empty() || header.front() != '{') return Broken("the header is no JSON object");

  AD_ASSIGN_OR_RETURN(const Json json,
                      ParseJsonObject(header, "not a valid safetensors file: header"));
  AD_ASSIGN_OR_RETURN(SafetensorsEntries entries, ParseEntries(json));
  const uint64_t data_begin = kLengthBytes + header_bytes;
  AD_RETURN_IF_ERROR(CheckLayout(entries, file.size() - data_begin));
  for (auto& [name, entry] : entries) {
    entry.begin += data_begin;
    entry.end += data_begin;
  }
  return entries;
}

}  // namespace antidiffusion
