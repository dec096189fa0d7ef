#include "core/text/token_values.h"

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace antidiffusion {

using Json = nlohmann::json;

absl::StatusOr<std::string> TokenContent(const Json& token, absl::string_view where) {
  const Json* content = &token;
  if (token.is_object()) {
    const auto single_word = token.find("single_word");
    if (single_word != token.end() && *single_word == true) {
      return absl::FailedPreconditionError(
          absl::StrCat("tokenizer: ", where, ": single_word is not supported"));
    }
    const auto found = token.find("content");
    if (found != token.end()) content = &*found;
  }
  if (!content->is_string() || content->get_ref<const std::string&>().empty()) {
    return absl::DataLossError(absl::StrCat("tokenizer: ", where, " is no token"));
  }
  return content->get<std::string>();
}

absl::StatusOr<int64_t> TokenId(const Json& id, absl::string_view token, int64_t vocab_size) {
  if (!id.is_number_unsigned() || id.get<uint64_t>() >= static_cast<uint64_t>(vocab_size)) {
    return absl::DataLossError(absl::StrCat("tokenizer: the id of \"", absl::CHexEscape(token),
                                            "\" is not in [0, ", vocab_size, ")"));
  }
  return id.get<int64_t>();
}

}  // namespace antidiffusion
