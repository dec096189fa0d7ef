#include "core/base/json_file.h"

#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"

namespace antidiffusion {
namespace {

using Json = nlohmann::json;

constexpr int kMaxDepth = 32;

// Watches the parser's events for what the finished document no longer shows.
class DocumentCheck {
 public:
  // False drops the value, so that nothing deep is ever built.
  bool operator()(int depth, Json::parse_event_t event, const Json& value) {
    if (depth > kMaxDepth) too_deep_ = true;
    if (too_deep_) return false;
    if (event == Json::parse_event_t::object_start) {
      // The keys of an object at `depth` are reported at `depth` + 1.
      keys_.resize(static_cast<size_t>(depth) + 2);
      keys_.back().clear();
    } else if (event == Json::parse_event_t::key) {
      if (!keys_[static_cast<size_t>(depth)].insert(value.get_ref<const std::string&>()).second) {
        repeated_ = true;
      }
    }
    return true;
  }

  bool too_deep() const { return too_deep_; }
  bool repeated() const { return repeated_; }

 private:
  std::vector<std::set<std::string>> keys_;  // of the open objects, by depth
  bool too_deep_ = false;
  bool repeated_ = false;
};

}  // namespace

absl::StatusOr<Json> ReadJsonFile(const std::string& path, int64_t max_bytes) {
  AD_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, max_bytes));
  return ParseJsonObject(bytes, path);
}

absl::StatusOr<Json> ParseJsonObject(absl::string_view bytes, const std::string& name) {
  DocumentCheck check;
  Json document = Json::parse(
      bytes.begin(), bytes.end(),
      [&check](int depth, Json::parse_event_t event, Json& value) {
        return check(depth, event, value);
      },
      /*allow_exceptions=*/false);
  if (check.too_deep()) return absl::DataLossError(absl::StrCat(name, ": nested too deep"));
  if (check.repeated()) return absl::DataLossError(absl::StrCat(name, ": a key is repeated"));
  if (!document.is_object()) return absl::DataLossError(absl::StrCat(name, ": no JSON object"));
  return document;
}

}  // namespace antidiffusion
