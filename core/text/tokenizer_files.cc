#include "core/text/tokenizer_files.h"

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "core/base/file.h"
#include "core/base/json_file.h"
#include "core/base/status_macros.h"

namespace antidiffusion {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxFileBytes = int64_t{16} << 20;  // the published files have 1 MB
// The merges that the reference reads: 49152 ids less 256 bytes and 2 special tokens.
constexpr size_t kMaxMerges = 49152 - 256 - 2;
constexpr char kDecoderKey[] = "added_tokens_decoder";
constexpr char kAdditionalKey[] = "additional_special_tokens";

struct SpecialTokenKey {
  const char* name;
  const char* fallback;  // null: the token may be missing
};
// In the order in which tokens that the vocabulary lacks are given ids.
constexpr SpecialTokenKey kSpecialTokenKeys[] = {
    {"bos_token", "<|startoftext|>"}, {"eos_token", "<|endoftext|>"},
    {"unk_token", "<|endoftext|>"},   {"sep_token", nullptr},
    {"pad_token", "<|endoftext|>"},   {"cls_token", nullptr},
    {"mask_token", nullptr}};

// An empty object when there is no such file.
absl::StatusOr<Json> ReadOptional(const std::string& path) {
  absl::StatusOr<Json> json = ReadJsonFile(path, kMaxFileBytes);
  if (absl::IsNotFound(json.status())) return Json::object();
  return json;
}

absl::Status ReadVocabulary(const std::string& path, int64_t vocab_size, TokenizerFiles& files) {
  AD_ASSIGN_OR_RETURN(const Json vocabulary, ReadJsonFile(path, kMaxFileBytes));
  files.vocabulary.reserve(vocabulary.size());
  for (const auto& [token, value] : vocabulary.items()) {
    AD_ASSIGN_OR_RETURN(const int64_t id, TokenId(value, token, vocab_size));
    files.vocabulary.emplace(token, id);
  }
  return absl::OkStatus();
}

absl::Status ReadMerges(const std::string& path, TokenizerFiles& files) {
  AD_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxFileBytes));
  const std::vector<absl::string_view> lines =
      absl::StrSplit(absl::StripAsciiWhitespace(text), '\n');
  for (size_t i = 1; i < lines.size() && i <= kMaxMerges; ++i) {  // the first tells the version
    const std::vector<std::string> symbols =
        absl::StrSplit(lines[i], absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
    if (symbols.empty()) continue;
    if (symbols.size() != 2) {
      return absl::DataLossError(absl::StrCat(path, ": line ", i + 1, " is no pair of symbols"));
    }
    files.merges.emplace_back(symbols[0], symbols[1]);
  }
  return absl::OkStatus();
}

// Tokens with ids of their own: the decoder of tokenizer_config.json, else added_tokens.json.
absl::Status ReadAddedTokens(const std::string& directory, const Json& config, int64_t vocab_size,
                             TokenizerFiles& files) {
  if (!config.contains(kDecoderKey)) {
    AD_ASSIGN_OR_RETURN(const Json added, ReadOptional(directory + "/added_tokens.json"));
    for (const auto& [token, value] : added.items()) {
      AD_ASSIGN_OR_RETURN(const int64_t id, TokenId(value, token, vocab_size));
      if (!token.empty()) files.added[token] = id;
    }
    return absl::OkStatus();
  }
  if (!config[kDecoderKey].is_object()) {
    return absl::DataLossError(absl::StrCat("tokenizer: ", kDecoderKey, " is no object"));
  }
  for (const auto& [key, value] : config[kDecoderKey].items()) {
    AD_ASSIGN_OR_RETURN(const std::string token, TokenContent(value, kDecoderKey));
    uint64_t number = 0;
    if (!absl::SimpleAtoi(key, &number)) {
      return absl::DataLossError(
          absl::StrCat("tokenizer: ", kDecoderKey, " has a key that is no id"));
    }
    AD_ASSIGN_OR_RETURN(files.added[token], TokenId(number, token, vocab_size));
  }
  return absl::OkStatus();
}

// The id of a special token, which is given a new one behind all others when it has none.
absl::StatusOr<int64_t> SpecialTokenId(const std::string& token, int64_t vocab_size,
                                       TokenizerFiles& files, uint64_t& next_id) {
  if (const auto known = files.added.find(token); known != files.added.end()) return known->second;
  const auto word = files.vocabulary.find(token);
  AD_ASSIGN_OR_RETURN(const int64_t id, word != files.vocabulary.end()
                                            ? absl::StatusOr<int64_t>(word->second)
                                            : TokenId(next_id++, token, vocab_size));
  files.added[token] = id;
  return id;
}

// `tokens`: the JSON whose special tokens count.
absl::Status ReadSpecialTokens(const Json& tokens, int64_t vocab_size, TokenizerFiles& files) {
  uint64_t next_id = files.vocabulary.size();
  for (const auto& [token, id] : files.added) {
    if (!files.vocabulary.contains(token)) ++next_id;
  }
  absl::btree_map<std::string, int64_t> ids;
  for (const SpecialTokenKey& key : kSpecialTokenKeys) {
    const auto value = tokens.find(key.name);
    const bool present = value != tokens.end() && !value->is_null();
    if (!present && key.fallback == nullptr) continue;
    std::string token = present ? "" : key.fallback;
    if (present) {
      AD_ASSIGN_OR_RETURN(token, TokenContent(*value, key.name));
    }
    AD_ASSIGN_OR_RETURN(ids[key.name], SpecialTokenId(token, vocab_size, files, next_id));
  }
  if (const auto list = tokens.find(kAdditionalKey); list != tokens.end() && list->is_array()) {
    for (const Json& value : *list) {
      AD_ASSIGN_OR_RETURN(const std::string token, TokenContent(value, kAdditionalKey));
      AD_RETURN_IF_ERROR(SpecialTokenId(token, vocab_size, files, next_id).status());
    }
  }
  files.begin_id = ids["bos_token"];
  files.end_id = ids["eos_token"];
  files.unknown_id = ids["unk_token"];
  files.pad_id = ids["pad_token"];
  return absl::OkStatus();
}

// `in_one_file`: tokenizer.json, whose contents tell more than the names of general classes.
absl::Status CheckTokenizerClass(const Json& config, bool in_one_file) {
  const auto name = config.find("tokenizer_class");
  if (name == config.end() || *name == "CLIPTokenizer" || *name == "CLIPTokenizerFast" ||
      (in_one_file && (*name == "TokenizersBackend" || *name == "PreTrainedTokenizerFast"))) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("tokenizer: needs a CLIPTokenizer, found ",
                   name->is_string() ? absl::CHexEscape(name->get<std::string>()) : "no name"));
}

}  // namespace

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

absl::StatusOr<TokenizerFiles> ReadTokenizerFiles(const std::string& directory,
                                                  int64_t vocab_size) {
  TokenizerFiles files;
  AD_ASSIGN_OR_RETURN(const Json config, ReadOptional(directory + "/tokenizer_config.json"));
  const std::string one_file = directory + "/tokenizer.json";
  const bool in_one_file = !PathExists(directory + "/vocab.json") && PathExists(one_file);
  AD_RETURN_IF_ERROR(CheckTokenizerClass(config, in_one_file));
  if (in_one_file) {
    AD_RETURN_IF_ERROR(ReadTokenizerJson(one_file, vocab_size, files));
  } else {
    AD_RETURN_IF_ERROR(ReadVocabulary(directory + "/vocab.json", vocab_size, files));
    AD_RETURN_IF_ERROR(ReadMerges(directory + "/merges.txt", files));
  }
  AD_RETURN_IF_ERROR(ReadAddedTokens(directory, config, vocab_size, files));
  Json tokens = config;
  if (!config.contains(kDecoderKey)) {
    AD_ASSIGN_OR_RETURN(const Json map, ReadOptional(directory + "/special_tokens_map.json"));
    tokens.update(map);
  }
  AD_RETURN_IF_ERROR(ReadSpecialTokens(tokens, vocab_size, files));
  for (const auto& [token, id] : files.added) files.vocabulary[token] = id;
  return files;
}

}  // namespace antidiffusion
