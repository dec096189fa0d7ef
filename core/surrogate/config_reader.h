// Typed values out of a model's config file, with the library's default for a key that is missing.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace antidiffusion {

// Remembers the first error, so that a config is read without a check a line:
//
//   ConfigReader reader(json, "unet/config.json");
//   config.in_channels = reader.Int("in_channels", 4, 1, 64);
//   reader.Require("act_fn", "silu");
//   AD_RETURN_IF_ERROR(reader.status());
//
// A key that is missing or null counts as its default. Not thread-safe. `json` (an object) must
// outlive the reader.
class ConfigReader {
 public:
  using Json = nlohmann::json;

  ConfigReader(const Json& json, std::string file);

  // OK, DATA_LOSS (a value of the wrong type or out of its range) or FAILED_PRECONDITION (a feature
  // that is not supported). The message names the file, the key and the value.
  const absl::Status& status() const { return status_; }

  bool Has(absl::string_view key) const;
  bool Bool(absl::string_view key, bool fallback);
  std::string String(absl::string_view key, absl::string_view fallback);

  // Numbers in [least, greatest].
  int64_t Int(absl::string_view key, int64_t fallback, int64_t least, int64_t greatest);
  double Number(absl::string_view key, double fallback, double least, double greatest);

  // A list of 1 to `kMaxLevels` entries.
  std::vector<int64_t> IntList(absl::string_view key, const std::vector<int64_t>& fallback,
                               int64_t least, int64_t greatest);
  std::vector<std::string> StringList(absl::string_view key,
                                      const std::vector<std::string>& fallback);
  // A list of `size` entries, or one number that stands for all of them.
  std::vector<int64_t> IntPerLevel(absl::string_view key, int64_t fallback, size_t size,
                                   int64_t least, int64_t greatest);
  // One number, or a list whose entries are all equal.
  int64_t UniformInt(absl::string_view key, int64_t fallback, int64_t least, int64_t greatest);

  // FAILED_PRECONDITION unless the key is missing, null, `only`, or a list of nothing but `only`.
  void Require(absl::string_view key, const Json& only);

  // An error of the caller's own about `key`, unless there was one before.
  void Unsupported(absl::string_view key, absl::string_view reason);
  void Broken(absl::string_view key, absl::string_view reason);

  static constexpr size_t kMaxLevels = 8;

 private:
  // Null when the key is missing or null.
  const Json* Find(absl::string_view key) const;
  bool IsIntIn(absl::string_view key, const Json& value, int64_t least, int64_t greatest);

  const Json& json_;
  const std::string file_;
  absl::Status status_;
};

}  // namespace antidiffusion
