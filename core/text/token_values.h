// Tokens and their ids as the JSON files of tokenizers write them.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace antidiffusion {

// A token is written as a string or as an object with `content`. DATA_LOSS: neither, or empty;
// FAILED_PRECONDITION: one that is only found between other words. `where` names it in messages.
absl::StatusOr<std::string> TokenContent(const nlohmann::json& token, absl::string_view where);

// DATA_LOSS unless `id` is a whole number in [0, vocab_size).
absl::StatusOr<int64_t> TokenId(const nlohmann::json& id, absl::string_view token,
                                int64_t vocab_size);

}  // namespace antidiffusion
