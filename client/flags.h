// Flags with values that CLI11 does not read as we want, and words that stand for values.
#pragma once

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace antidiffusion {

inline bool ParseNumber(const std::string& text, uint64_t* value) {
  return absl::SimpleAtoi(text, value);
}
inline bool ParseNumber(const std::string& text, int32_t* value) {
  return absl::SimpleAtoi(text, value);
}
inline bool ParseNumber(const std::string& text, double* value) {
  return absl::SimpleAtod(text, value) && std::isfinite(*value);
}

// `set` hears the number; it may throw CLI::ValidationError. `kind` is what the help calls it.
// Not CLI11's own conversion: that one reads 010 as 8, wraps -1 and saturates what is too large.
template <typename T>
CLI::Option* AddNumber(CLI::App& app, const std::string& flag, const std::string& kind,
                       const std::string& help, std::function<void(T)> set) {
  return app
      .add_option_function<std::string>(
          flag,
          [flag, kind, set = std::move(set)](const std::string& text) {
            T value{};
            if (!ParseNumber(text, &value)) {
              throw CLI::ValidationError(flag, absl::StrCat(text, " is no ", kind));
            }
            set(value);
          },
          help)
      ->type_name(kind);
}

// A number of `least`..`most`, written to `value`, which must outlive the parsing.
template <typename T>
CLI::Option* AddBounded(CLI::App& app, const std::string& flag, const std::string& kind,
                        const std::string& help, T least, T most, T& value) {
  return AddNumber<T>(app, flag, kind, help, [=, &value](T number) {
    if (number < least || number > most) {
      throw CLI::ValidationError(flag, absl::StrCat("must be ", least, "..", most));
    }
    value = number;
  });
}

template <typename T>
using Names = std::vector<std::pair<std::string, T>>;

template <typename T>
CLI::Option* AddChoice(CLI::App& app, const std::string& flag, Names<T> names,
                       const std::string& help, std::function<void(T)> set) {
  std::vector<std::string> words;
  for (const auto& [word, value] : names) words.push_back(word);
  return app
      .add_option_function<std::string>(
          flag,
          [names = std::move(names), set = std::move(set)](const std::string& text) {
            for (const auto& [word, value] : names) {
              if (word == text) set(value);
            }
          },
          help)
      ->check(CLI::IsMember(words));
}

// A flag that may be repeated, each time with one word. `add` hears each; it may throw
// CLI::ValidationError. `kind` is what the help calls a word.
inline CLI::Option* AddRepeated(CLI::App& app, const std::string& flag, const std::string& kind,
                                const std::string& help,
                                std::function<void(const std::string&)> add) {
  return app
      .add_option_function<std::vector<std::string>>(
          flag,
          [add = std::move(add)](const std::vector<std::string>& words) {
            for (const std::string& word : words) add(word);
          },
          help)
      ->type_name(kind)
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

}  // namespace antidiffusion
