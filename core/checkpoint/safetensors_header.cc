#include "core/checkpoint/safetensors_header.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace antidiffusion {
namespace {

constexpr size_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // as the reference implementation has it
constexpr size_t kMaxNameBytes = 1024;
constexpr size_t kMaxRank = 64;  // torch's own limit
constexpr char kMetadataKey[] = "__metadata__";

std::optional<SafetensorsDtype> DtypeByName(absl::string_view name) {
  using Dtype = SafetensorsDtype;
  static constexpr std::pair<absl::string_view, Dtype> kDtypes[] = {
      {"F64", Dtype::kF64}, {"F32", Dtype::kF32},  {"F16", Dtype::kF16}, {"BF16", Dtype::kBF16},
      {"I64", Dtype::kI64}, {"I32", Dtype::kI32},  {"I16", Dtype::kI16}, {"I8", Dtype::kI8},
      {"U8", Dtype::kU8},   {"BOOL", Dtype::kBool}};
  for (const auto& [known, dtype] : kDtypes) {
    if (name == known) return dtype;
  }
  return std::nullopt;
}

// Receives the events of the JSON parser and fills the entries. Offsets stay relative to the data.
// Returning false ends the parse; `error` then says why. Nesting is bounded by the states: deeper
// than an array in an object in the root is refused at once.
class HeaderHandler {
 public:
  using Json = nlohmann::json;

  SafetensorsEntries TakeEntries() { return std::move(entries_); }
  const std::string& error() const { return error_; }

  bool start_object(size_t /*elements*/) {
    if (state_ == State::kStart) return Enter(State::kRoot);
    if (state_ == State::kRoot && in_metadata_) return Enter(State::kMetadata);
    if (state_ == State::kRoot) {
      field_ = Field::kNone;
      seen_fields_ = 0;
      return Enter(State::kTensor);
    }
    return Fail("an object where none belongs");
  }

  bool key(std::string& name) {
    if (name.size() > kMaxNameBytes) return Fail("a name of over 1024 bytes");
    if (state_ == State::kRoot) return BeginMember(name);
    if (state_ == State::kTensor) return BeginField(name);
    return true;  // of the metadata, which nobody reads
  }

  bool end_object() {
    if (state_ == State::kTensor && seen_fields_ != 7) {
      return Fail("dtype, shape or data_offsets is missing");
    }
    return Enter(state_ == State::kRoot ? State::kEnd : State::kRoot);
  }

  bool start_array(size_t /*elements*/) {
    if (state_ != State::kTensor) return Fail("an array where none belongs");
    if (field_ == Field::kShape) return Enter(State::kShape);
    if (field_ == Field::kOffsets) return Enter(State::kOffsets);
    return Fail("an array where none belongs");
  }

  bool end_array() {
    if (state_ == State::kOffsets && offset_count_ != 2)
      return Fail("data_offsets needs 2 numbers");
    return Enter(State::kTensor);
  }

  bool number_unsigned(uint64_t value) {
    if (state_ == State::kShape) return AddDimension(value);
    if (state_ == State::kOffsets) return AddOffset(value);
    return Fail("a number where none belongs");
  }

  bool string(std::string& value) {
    if (state_ == State::kMetadata) return true;
    if (state_ != State::kTensor || field_ != Field::kDtype) {
      return Fail("a string where none belongs");
    }
    const std::optional<SafetensorsDtype> dtype = DtypeByName(value);
    if (!dtype.has_value()) {
      return Fail(absl::StrCat("unsupported dtype ", absl::CHexEscape(value.substr(0, 32))));
    }
    entry_->dtype = *dtype;
    return true;
  }

  bool null() { return Fail("null"); }
  bool boolean(bool /*value*/) { return Fail("a boolean"); }
  bool number_integer(int64_t /*value*/) { return Fail("a negative number"); }
  bool number_float(double /*value*/, const std::string& /*text*/) {
    return Fail("a number that is no 64-bit integer");
  }
  bool binary(Json::binary_t& /*value*/) { return Fail("binary"); }
  bool parse_error(size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*exception*/) {
    return Fail(absl::StrCat("broken JSON at byte ", position));
  }

 private:
  enum class State { kStart, kRoot, kMetadata, kTensor, kShape, kOffsets, kEnd };
  enum class Field { kNone, kDtype, kShape, kOffsets };

  bool Enter(State state) {
    state_ = state;
    return true;
  }

  bool Fail(absl::string_view reason) {
    error_ = name_.empty() ? std::string(reason)
                           : absl::StrCat("at \"", absl::CHexEscape(name_), "\": ", reason);
    return false;
  }

  bool BeginMember(const std::string& name) {
    name_ = name;
    in_metadata_ = name == kMetadataKey;
    if (in_metadata_) {
      if (std::exchange(seen_metadata_, true)) return Fail("repeated");
      return true;
    }
    const auto [position, is_new] = entries_.try_emplace(name);
    if (!is_new) return Fail("repeated");
    entry_ = &position->second;
    return true;
  }

  bool BeginField(const std::string& name) {
    if (name == "dtype") {
      field_ = Field::kDtype;
    } else if (name == "shape") {
      field_ = Field::kShape;
    } else if (name == "data_offsets") {
      field_ = Field::kOffsets;
      offset_count_ = 0;
    } else {
      return Fail(absl::StrCat("unknown key ", absl::CHexEscape(name)));
    }
    const unsigned bit = 1U << (static_cast<unsigned>(field_) - 1);
    if ((seen_fields_ & bit) != 0) return Fail(absl::StrCat(name, " is repeated"));
    seen_fields_ |= bit;
    return true;
  }

  bool AddDimension(uint64_t value) {
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return Fail("a dimension beyond 2^63");
    }
    if (entry_->shape.size() == kMaxRank) return Fail("over 64 dimensions");
    entry_->shape.push_back(static_cast<int64_t>(value));
    return true;
  }

  bool AddOffset(uint64_t value) {
    if (offset_count_ == 2) return Fail("data_offsets needs 2 numbers");
    (offset_count_ == 0 ? entry_->begin : entry_->end) = value;
    ++offset_count_;
    return true;
  }

  State state_ = State::kStart;
  Field field_ = Field::kNone;
  std::string name_;  // of the member being read
  bool in_metadata_ = false;
  bool seen_metadata_ = false;
  unsigned seen_fields_ = 0;  // a bit a Field
  int offset_count_ = 0;
  SafetensorsEntry* entry_ = nullptr;  // into entries_, whose nodes stay where they are
  SafetensorsEntries entries_;
  std::string error_;
};

absl::Status Broken(absl::string_view reason) {
  return absl::DataLossError(absl::StrCat("not a valid safetensors file: ", reason));
}

absl::Status BrokenEntry(absl::string_view name, absl::string_view reason) {
  return Broken(absl::StrCat("\"", absl::CHexEscape(name), "\": ", reason));
}

// Bytes that `entry` should have; nullopt when they do not fit in 64 bits.
std::optional<uint64_t> ExpectedBytes(const SafetensorsEntry& entry) {
  auto bytes = static_cast<uint64_t>(ByteSize(entry.dtype));
  // A zero makes the product zero whatever the others are, so it is looked for first.
  if (std::find(entry.shape.begin(), entry.shape.end(), 0) != entry.shape.end()) bytes = 0;
  for (const int64_t dimension : entry.shape) {
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(dimension), &bytes)) {
      return std::nullopt;
    }
  }
  return bytes;
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

int64_t ByteSize(SafetensorsDtype dtype) {
  switch (dtype) {
    case SafetensorsDtype::kF64:
    case SafetensorsDtype::kI64:
      return 8;
    case SafetensorsDtype::kF32:
    case SafetensorsDtype::kI32:
      return 4;
    case SafetensorsDtype::kF16:
    case SafetensorsDtype::kBF16:
    case SafetensorsDtype::kI16:
      return 2;
    case SafetensorsDtype::kI8:
    case SafetensorsDtype::kU8:
    case SafetensorsDtype::kBool:
      return 1;
  }
  return 1;
}

absl::StatusOr<SafetensorsEntries> ParseSafetensorsHeader(absl::string_view file) {
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

  HeaderHandler handler;
  if (!nlohmann::json::sax_parse(header.begin(), header.end(), &handler)) {
    return Broken(handler.error());
  }
  SafetensorsEntries entries = handler.TakeEntries();
  const uint64_t data_begin = kLengthBytes + header_bytes;
  AD_RETURN_IF_ERROR(CheckLayout(entries, file.size() - data_begin));
  for (auto& [name, entry] : entries) {
    entry.begin += data_begin;
    entry.end += data_begin;
  }
  return entries;
}

}  // namespace antidiffusion
