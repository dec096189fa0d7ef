// Typed values out of a model's config file, with the library's default for a key that is missing.
#pragma once

#include <cstdint>
#include <initializer_list>
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
  // Whether the key is there and null.
  bool IsNull(absl::string_view key) const;
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
  // One number, or a pair of which the smaller one counts.
  int64_t ShorterSide(absl::string_view key, int64_t fallback, int64_t least, int64_t greatest);
  // One number, or a list whose entries are all equal.
  int64_t UniformInt(absl::string_view key, int64_t fallback, int64_t least, int64_t greatest);

  // A string, or a list of one string. FAILED_PRECONDITION for one that is not among `known`.
  std::string Choice(absl::string_view key, absl::string_view fallback,
                     std::initializer_list<absl::string_view> known);
  // A list of `levels` strings, each as in Choice.
  std::vector<std::string> ChoicePerLevel(absl::string_view key,
                                          const std::vector<std::string>& fallback, size_t levels,
                                          std::initializer_list<absl::string_view> known);

  // FAILED_PRECONDITION unless the key is missing, null, `only`, or a list of nothing but `only`.
  void Require(absl::string_view key, const Json& only);

  // DATA_LOSS unless `divisor`, the value of the key, divides `channels`.
  void CheckDivides(absl::string_view key, int64_t divisor, int64_t channels);

  // An error of the caller's own about `key`, unless there was one before.
  void Unsupported(absl::string_view key, absl::string_view reason);
  void Broken(absl::string_view key, absl::string_view reason);

  static constexpr size_t kMaxLevels = 8;

  // Bounds that are far above any model of this kind. They keep the sizes and the number of tensors
  // that an untrusted file asks for from overflowing.
  static constexpr int64_t kMaxChannels = 16384;
  static constexpr int64_t kMaxLayers = 64;             // of a text encoder
  static constexpr int64_t kMaxLayersPerBlock = 16;     // of a level of a UNet or a VAE
  static constexpr int64_t kMaxTransformerLayers = 32;  // of one transformer of a UNet

 private:
  // Null when the key is missing or null.
  const Json* Find(absl::string_view key) const;
  void CheckKnown(absl::string_view key, const std::string& value,
                  std::initializer_list<absl::string_view> known);
  bool IsIntIn(absl::string_view key, const Json& value, int64_t least, int64_t greatest);

  const Json& json_;
  const std::string file_;
  absl::Status status_;
};

}  // namespace antidiffusion
