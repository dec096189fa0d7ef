#include "core/surrogate/config_reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace antidiffusion {
namespace {

constexpr size_t kShownBytes = 80;

// A value as an error shows it. Only scalars: dumping goes down into lists by recursion.
std::string Shown(const nlohmann::json& value) {
  if (value.is_array()) return "a list";
  if (value.is_object()) return "an object";
  const std::string text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return absl::Utf8SafeCHexEscape(text.substr(0, kShownBytes));
}

}  // namespace

ConfigReader::ConfigReader(const Json& json, std::string file)
    : json_(json), file_(std::move(file)) {}

const ConfigReader::Json* ConfigReader::Find(absl::string_view key) const {
  const auto value = json_.find(std::string(key));
  return value == json_.end() || value->is_null() ? nullptr : &*value;
}

bool ConfigReader::Has(absl::string_view key) const { return Find(key) != nullptr; }

bool ConfigReader::IsNull(absl::string_view key) const {
  const auto value = json_.find(std::string(key));
  return value != json_.end() && value->is_null();
}

void ConfigReader::Unsupported(absl::string_view key, absl::string_view reason) {
  status_.Update(absl::FailedPreconditionError(absl::StrCat(file_, ": ", key, ": ", reason)));
}

void ConfigReader::Broken(absl::string_view key, absl::string_view reason) {
  status_.Update(absl::DataLossError(absl::StrCat(file_, ": ", key, ": ", reason)));
}

bool ConfigReader::Bool(absl::string_view key, bool fallback) {
  const Json* value = Find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) {
    Broken(key, absl::StrCat(Shown(*value), " is neither true nor false"));
    return fallback;
  }
  return value->get<bool>();
}

std::string ConfigReader::String(absl::string_view key, absl::string_view fallback) {
  const Json* value = Find(key);
  if (value == nullptr) return std::string(fallback);
  if (!value->is_string()) {
    Broken(key, absl::StrCat(Shown(*value), " is no string"));
    return std::string(fallback);
  }
  return value->get<std::string>();
}

bool ConfigReader::IsIntIn(absl::string_view key, const Json& value, int64_t least,
                           int64_t greatest) {
  // Beyond 2^63 a number is kept unsigned, and would turn negative.
  const bool fits = value.is_number_integer() &&
                    !(value.is_number_unsigned() && value.get<uint64_t>() >> 63 != 0) &&
                    value.get<int64_t>() >= least && value.get<int64_t>() <= greatest;
  if (!fits) {
    Broken(key, absl::StrCat(Shown(value), " is no whole number in [", least, ", ", greatest, "]"));
  }
  return fits;
}

int64_t ConfigReader::Int(absl::string_view key, int64_t fallback, int64_t least,
                          int64_t greatest) {
  const Json* value = Find(key);
  if (value == nullptr || !IsIntIn(key, *value, least, greatest)) return fallback;
  return value->get<int64_t>();
}

double ConfigReader::Number(absl::string_view key, double fallback, double least, double greatest) {
  const Json* value = Find(key);
  if (value == nullptr) return fallback;
  if (!value->is_number() || !(value->get<double>() >= least && value->get<double>() <= greatest)) {
    Broken(key, absl::StrCat(Shown(*value), " is no number in [", least, ", ", greatest, "]"));
    return fallback;
  }
  return value->get<double>();
}

std::vector<int64_t> ConfigReader::IntList(absl::string_view key,
                                           const std::vector<int64_t>& fallback, int64_t least,
                                           int64_t greatest) {
  const Json* list = Find(key);
  if (list == nullptr) return fallback;
  if (!list->is_array() || list->empty() || list->size() > kMaxLevels) {
    Broken(key, absl::StrCat("needs a list of 1 to ", kMaxLevels, " numbers"));
    return fallback;
  }
  std::vector<int64_t> numbers;
  for (const Json& value : *list) {
    if (!IsIntIn(key, value, least, greatest)) return fallback;
    numbers.push_back(value.get<int64_t>());
  }
  return numbers;
}

std::vector<std::string> ConfigReader::StringList(absl::string_view key,
                                                  const std::vector<std::string>& fallback) {
  const Json* list = Find(key);
  if (list == nullptr) return fallback;
  const bool valid =
      list->is_array() && !list->empty() && list->size() <= kMaxLevels &&
      std::all_of(list->begin(), list->end(), [](const Json& value) { return value.is_string(); });
  if (!valid) {
    Broken(key, absl::StrCat("needs a list of 1 to ", kMaxLevels, " strings"));
    return fallback;
  }
  return list->get<std::vector<std::string>>();
}

std::vector<int64_t> ConfigReader::IntPerLevel(absl::string_view key, int64_t fallback, size_t size,
                                               int64_t least, int64_t greatest) {
  const Json* value = Find(key);
  if (value == nullptr || !value->is_array()) {
    return std::vector<int64_t>(size, Int(key, fallback, least, greatest));
  }
  std::vector<int64_t> numbers = IntList(key, {}, least, greatest);
  if (numbers.size() != size) {
    Broken(key, absl::StrCat("needs ", size, " entries, one a level"));
    numbers.assign(size, fallback);
  }
  return numbers;
}

int64_t ConfigReader::ShorterSide(absl::string_view key, int64_t fallback, int64_t least,
                                  int64_t greatest) {
  const Json* value = Find(key);
  if (value == nullptr || !value->is_array()) return Int(key, fallback, least, greatest);
  const std::vector<int64_t> sides = IntList(key, {fallback, fallback}, least, greatest);
  if (sides.size() != 2) {
    Broken(key, absl::StrCat("has ", sides.size(), " entries, needs one number or two"));
    return fallback;
  }
  return std::min(sides[0], sides[1]);
}

int64_t ConfigReader::UniformInt(absl::string_view key, int64_t fallback, int64_t least,
                                 int64_t greatest) {
  const Json* value = Find(key);
  if (value == nullptr || !value->is_array()) return Int(key, fallback, least, greatest);
  const std::vector<int64_t> numbers = IntList(key, {fallback}, least, greatest);
  if (std::adjacent_find(numbers.begin(), numbers.end(), std::not_equal_to<>()) != numbers.end()) {
    Unsupported(key, "differs from level to level, which is not supported");
  }
  return numbers.front();
}

void ConfigReader::CheckKnown(absl::string_view key, const std::string& value,
                              std::initializer_list<absl::string_view> known) {
  if (std::find(known.begin(), known.end(), value) == known.end()) {
    Unsupported(key,
                absl::StrCat(Shown(value), " is not supported, only ", absl::StrJoin(known, ", ")));
  }
}

std::string ConfigReader::Choice(absl::string_view key, absl::string_view fallback,
                                 std::initializer_list<absl::string_view> known) {
  const Json* value = Find(key);
  const bool is_list = value != nullptr && value->is_array();
  std::string chosen =
      is_list ? StringList(key, {std::string(fallback)}).front() : String(key, fallback);
  if (is_list && value->size() > 1) Broken(key, "is a list of more than one string");
  CheckKnown(key, chosen, known);
  return chosen;
}

std::vector<std::string> ConfigReader::ChoicePerLevel(
    absl::string_view key, const std::vector<std::string>& fallback, size_t levels,
    std::initializer_list<absl::string_view> known) {
  std::vector<std::string> chosen = StringList(key, fallback);
  if (chosen.size() != levels) {
    Broken(key, absl::StrCat("has ", chosen.size(), " entries, block_out_channels ", levels));
  }
  for (const std::string& value : chosen) CheckKnown(key, value, known);
  return chosen;
}

void ConfigReader::CheckDivides(absl::string_view key, int64_t divisor, int64_t channels) {
  if (channels % divisor != 0) {
    Broken(key, absl::StrCat(divisor, " does not divide ", channels, " channels"));
  }
}

void ConfigReader::Require(absl::string_view key, const Json& only) {
  const Json* value = Find(key);
  if (value == nullptr || *value == only) return;
  if (value->is_array() && std::all_of(value->begin(), value->end(),
                                       [&only](const Json& entry) { return entry == only; })) {
    return;
  }
  const std::string wanted = only.is_null() ? "none" : Shown(only);
  Unsupported(key, absl::StrCat(Shown(*value), " is not supported, only ", wanted));
}

}  // namespace antidiffusion
