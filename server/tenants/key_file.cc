#include "server/tenants/key_file.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/base/json_file.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "core/base/utf8.h"

namespace antidiffusion {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxNameLength = 64;
constexpr size_t kMaxListed = 100;  // keys, or identities, of one tenant
constexpr size_t kMaxIdentityLength = 1024;
constexpr double kMinWeight = 0.01;
constexpr double kMaxWeight = 100;
constexpr double kMaxPerSecond = 1e6;
constexpr double kMaxBurst = 1e6;
constexpr int64_t kMaxJobs = 1'000'000;
constexpr int64_t kMaxBytes = int64_t{1} << 50;
constexpr int64_t kMaxPasses = 1'000'000'000'000;

constexpr std::pair<const char*, Right> kRights[] = {
    {"protect", Right::kProtect}, {"jobs", Right::kJobs}, {"models", Right::kModels}};

// One tenant's object, or the root; knows where it stands, for errors.
class Fields {
 public:
  Fields(const Json& object, std::string path) : object_(object), path_(std::move(path)) {}

  absl::Status Wrong(const std::string& field, const std::string& value,
                     const std::string& limit) const {
    return InvalidField(path_.empty() ? field : absl::StrCat(path_, ".", field), value, limit);
  }

  absl::Status AllowOnly(const std::set<std::string>& known) const {
    for (const auto& [name, value] : object_.items()) {
      if (known.contains(name)) continue;
      const std::string shown = name.empty() ? R"("")" : TruncateUtf8(name, kMaxNameLength);
      return Wrong(shown, "?", "a known field");
    }
    return absl::OkStatus();
  }

  const Json* Find(const std::string& field) const {
    const auto found = object_.find(field);
    return found == object_.end() ? nullptr : &*found;
  }

  absl::Status Read(const std::string& field, double lowest, double highest, double* value) const {
    const Json* const json = Find(field);
    if (json == nullptr) return absl::OkStatus();
    const std::string limit = absl::StrCat("a number in [", lowest, ", ", highest, "]");
    if (!json->is_number()) return Wrong(field, json->type_name(), limit);
    const double given = json->get<double>();
    if (!(given >= lowest && given <= highest)) return Wrong(field, absl::StrCat(given), limit);
    *value = given;
    return absl::OkStatus();
  }

  // Whole numbers from 1.
  template <typename T>
  absl::Status Read(const std::string& field, int64_t highest, std::optional<T>* value) const {
    const Json* const json = Find(field);
    if (json == nullptr) return absl::OkStatus();
    const std::string limit = absl::StrCat("a whole number in [1, ", highest, "]");
    if (!json->is_number_integer()) return Wrong(field, json->type_name(), limit);
    const bool huge =
        json->is_number_unsigned() && json->get<uint64_t>() > static_cast<uint64_t>(highest);
    if (huge || json->get<int64_t>() < 1) return Wrong(field, json->dump(), limit);
    *value = static_cast<T>(json->get<int64_t>());
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<std::string>> Strings(const std::string& field,
                                                   size_t max_length) const {
    std::vector<std::string> strings;
    const Json* const json = Find(field);
    if (json == nullptr) return strings;
    const std::string limit = absl::StrCat("a list of at most ", kMaxListed, " strings of 1 to ",
                                           max_length, " characters");
    if (!json->is_array()) return Wrong(field, json->type_name(), limit);
    if (json->size() > kMaxListed) return Wrong(field, absl::StrCat(json->size()), limit);
    for (const Json& element : *json) {
      if (!element.is_string()) return Wrong(field, element.type_name(), limit);
      strings.push_back(element.get<std::string>());
      const size_t length = strings.back().size();
      if (length < 1 || length > max_length) {
        return Wrong(field, absl::StrCat(length, " characters"), limit);
      }
    }
    return strings;
  }

 private:
  const Json& object_;
  const std::string path_;
};

bool IsName(const std::string& name) {
  return !name.empty() && name.size() <= kMaxNameLength &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
         });
}

absl::Status ReadKeys(const Fields& fields, TenantSpec* spec) {
  const size_t digits = 2 * KeyDigest().size();
  AD_ASSIGN_OR_RETURN(const std::vector<std::string> given, fields.Strings("key_sha256", digits));
  for (const std::string& hex : given) {
    if (hex.size() != digits || !std::all_of(hex.begin(), hex.end(), [](unsigned char c) {
          return absl::ascii_isxdigit(c);
        })) {
      return fields.Wrong("key_sha256", absl::StrCat(hex.size(), " characters"),
                          absl::StrCat(digits, " hexadecimal digits"));
    }
    const std::string bytes = absl::HexStringToBytes(hex);
    KeyDigest digest;
    std::copy(bytes.begin(), bytes.end(), digest.begin());
    spec->keys.push_back(digest);
  }
  return absl::OkStatus();
}

absl::Status ReadRights(const Fields& fields, TenantSpec* spec) {
  if (fields.Find("rights") == nullptr) return absl::OkStatus();
  AD_ASSIGN_OR_RETURN(const std::vector<std::string> given,
                      fields.Strings("rights", kMaxNameLength));
  spec->rights.clear();
  for (const std::string& name : given) {
    const auto* const known = std::find_if(std::begin(kRights), std::end(kRights),
                                           [&](const auto& right) { return right.first == name; });
    if (known == std::end(kRights)) {
      return fields.Wrong("rights", IsName(name) ? name : "?", "protect, jobs, models");
    }
    spec->rights.insert(known->second);
  }
  return absl::OkStatus();
}

absl::Status ReadRate(const Fields& fields, TenantSpec* spec) {
  if (fields.Find("requests_per_second") == nullptr) {
    if (fields.Find("burst") == nullptr) return absl::OkStatus();
    return fields.Wrong("burst", "given", "only with requests_per_second");
  }
  RequestRate rate;
  AD_RETURN_IF_ERROR(
      fields.Read("requests_per_second", 1 / kMaxPerSecond, kMaxPerSecond, &rate.per_second));
  rate.burst = std::max(1.0, rate.per_second);
  AD_RETURN_IF_ERROR(fields.Read("burst", 1, kMaxBurst, &rate.burst));
  spec->rate = rate;
  return absl::OkStatus();
}

absl::StatusOr<TenantSpec> ReadTenant(const Json& json, const std::string& path) {
  if (!json.is_object()) return InvalidField(path, json.type_name(), "an object");
  const Fields fields(json, path);
  AD_RETURN_IF_ERROR(fields.AllowOnly(
      {"name", "key_sha256", "identities", "rights", "weight", "max_running", "max_waiting",
       "max_waiting_bytes", "requests_per_second", "burst", "bytes_per_day", "max_job_passes"}));
  TenantSpec spec;
  const Json* const name = fields.Find("name");
  if (name == nullptr || !name->is_string() || !IsName(name->get<std::string>())) {
    return fields.Wrong("name", name == nullptr ? "none" : "?",
                        absl::StrCat("1 to ", kMaxNameLength, " of letters, digits, - _ ."));
  }
  spec.name = name->get<std::string>();
  AD_RETURN_IF_ERROR(ReadKeys(fields, &spec));
  AD_ASSIGN_OR_RETURN(spec.identities, fields.Strings("identities", kMaxIdentityLength));
  if (spec.keys.empty() && spec.identities.empty()) {
    return fields.Wrong("key_sha256", "none", "a key or an identity");
  }
  AD_RETURN_IF_ERROR(ReadRights(fields, &spec));
  AD_RETURN_IF_ERROR(fields.Read("weight", kMinWeight, kMaxWeight, &spec.weight));
  AD_RETURN_IF_ERROR(fields.Read("max_running", kMaxJobs, &spec.max_running));
  AD_RETURN_IF_ERROR(fields.Read("max_waiting", kMaxJobs, &spec.max_waiting));
  AD_RETURN_IF_ERROR(fields.Read("max_waiting_bytes", kMaxBytes, &spec.max_waiting_bytes));
  AD_RETURN_IF_ERROR(ReadRate(fields, &spec));
  AD_RETURN_IF_ERROR(fields.Read("bytes_per_day", kMaxBytes, &spec.bytes_per_day));
  AD_RETURN_IF_ERROR(fields.Read("max_job_passes", kMaxPasses, &spec.max_job_passes));
  return spec;
}

// Names, keys and identities are each there once in the whole file.
class Uniqueness {
 public:
  absl::Status Add(const TenantSpec& spec, const std::string& path) {
    if (!names_.insert(spec.name).second) {
      return InvalidField(absl::StrCat(path, ".name"), spec.name, "a name only once");
    }
    for (const KeyDigest& key : spec.keys) {
      if (!keys_.insert(key).second) {
        return InvalidField(absl::StrCat(path, ".key_sha256"), spec.name, "a key only once");
      }
    }
    for (const std::string& identity : spec.identities) {
      if (!identities_.insert(identity).second) {
        return InvalidField(absl::StrCat(path, ".identities"), spec.name, "an identity only once");
      }
    }
    return absl::OkStatus();
  }

 private:
  std::set<std::string> names_;
  std::set<KeyDigest> keys_;
  std::set<std::string> identities_;
};

}  // namespace

absl::StatusOr<std::vector<TenantSpec>> ParseKeyFile(const std::string& bytes) {
  AD_ASSIGN_OR_RETURN(const Json root, ParseJsonObject(bytes, "API key file"));
  const Fields fields(root, "");
  AD_RETURN_IF_ERROR(fields.AllowOnly({"tenants"}));
  const Json* const list = fields.Find("tenants");
  if (list == nullptr || !list->is_array() || list->empty() || list->size() > kMaxTenants) {
    return fields.Wrong("tenants", list == nullptr ? "none" : list->type_name(),
                        absl::StrCat("a list of 1 to ", kMaxTenants, " objects"));
  }
  std::vector<TenantSpec> specs;
  Uniqueness unique;
  for (const Json& json : *list) {
    const std::string path = absl::StrCat("tenants[", specs.size(), "]");
    AD_ASSIGN_OR_RETURN(TenantSpec spec, ReadTenant(json, path));
    AD_RETURN_IF_ERROR(unique.Add(spec, path));
    specs.push_back(std::move(spec));
  }
  return specs;
}

}  // namespace antidiffusion
