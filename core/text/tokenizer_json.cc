// tokenizer.json: a whole tokenizer in one file, as the "fast" tokenizers write it. Releases from
// transformers 5 on write no other.
#include <algorithm>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "core/base/json_file.h"
#include "core/base/status_macros.h"
#include "core/text/tokenizer_files.h"

namespace antidiffusion {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxJsonBytes = int64_t{8} << 20;  // that of the published vocabulary: 3.6 MB
constexpr size_t kMaxSteps = 16;

// The member `key` of an object; null when there is none, or no object.
const Json* Find(const Json* json, const char* key) {
  if (json == nullptr) return nullptr;
  const auto found = json->find(key);
  return found == json->end() ? nullptr : &*found;
}

bool Is(const Json* value, const char* wanted) { return value != nullptr && *value == wanted; }

// The steps of a normalizer or pre-tokenizer: those of a Sequence, or the one.
std::vector<Json> Steps(const Json* step, const char* list_key) {
  if (step == nullptr) return {};
  if (!Is(Find(step, "type"), "Sequence")) return {*step};
  const Json* list = Find(step, list_key);
  if (list == nullptr || !list->is_array() || list->size() > kMaxSteps) return {};
  return {list->begin(), list->end()};
}

bool AllOfTypes(const std::vector<Json>& steps, std::initializer_list<const char*> types) {
  return std::all_of(steps.begin(), steps.end(), [&types](const Json& step) {
    return std::any_of(types.begin(), types.end(),
                       [&step](const char* type) { return Is(Find(&step, "type"), type); });
  });
}

const Json* FirstOfType(const std::vector<Json>& steps, const char* type) {
  const auto found = std::find_if(steps.begin(), steps.end(), [type](const Json& step) {
    return Is(Find(&step, "type"), type);
  });
  return found == steps.end() ? nullptr : &*found;
}

bool IsAbsent(const Json* value) {
  return value == nullptr || value->is_null() || *value == Json("") || *value == false ||
         *value == 0;
}

// The step in which the file departs from CLIP's tokenizer, or "".
absl::string_view StepThatIsNotClips(const Json* file) {
  const std::vector<Json> normalizers = Steps(Find(file, "normalizer"), "normalizers");
  if (FirstOfType(normalizers, "Lowercase") == nullptr ||
      !AllOfTypes(normalizers, {"NFC", "Replace", "Lowercase"})) {
    return "normalizer";
  }
  const std::vector<Json> splits = Steps(Find(file, "pre_tokenizer"), "pretokenizers");
  const Json* split = FirstOfType(splits, "Split");
  if (split == nullptr || FirstOfType(splits, "ByteLevel") == nullptr ||
      !AllOfTypes(splits, {"Split", "ByteLevel"})) {
    return "pre_tokenizer";
  }
  const Json* pattern = Find(Find(split, "pattern"), "Regex");
  if (pattern == nullptr || !pattern->is_string() ||
      !absl::EndsWith(pattern->get_ref<const std::string&>(),
                      "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+")) {
    return "pre_tokenizer";
  }
  const Json* model = Find(file, "model");
  if (!Is(Find(model, "type"), "BPE")) return "model.type";
  if (!Is(Find(model, "end_of_word_suffix"), "</w>")) return "model.end_of_word_suffix";
  for (const char* key : {"continuing_subword_prefix", "byte_fallback", "dropout"}) {
    if (!IsAbsent(Find(model, key))) return "model";
  }
  return "";
}

absl::Status ReadVocabulary(const Json* vocab, const std::string& path, int64_t vocab_size,
                            TokenizerFiles& files) {
  if (vocab == nullptr || !vocab->is_object())
    return absl::DataLossError(absl::StrCat(path, ": no model.vocab"));
  files.vocabulary.reserve(vocab->size());
  for (const auto& [token, value] : vocab->items()) {
    AD_ASSIGN_OR_RETURN(const int64_t id, TokenId(value, token, vocab_size));
    files.vocabulary.emplace(token, id);
  }
  return absl::OkStatus();
}

// A merge is "a b", or in newer files ["a", "b"].
absl::Status ReadMerges(const Json* merges, const std::string& path, TokenizerFiles& files) {
  if (merges == nullptr || !merges->is_array())
    return absl::DataLossError(absl::StrCat(path, ": no model.merges"));
  files.merges.reserve(merges->size());
  for (const Json& merge : *merges) {
    std::vector<std::string> pair;
    if (merge.is_string()) {
      pair = absl::StrSplit(merge.get_ref<const std::string&>(), ' ');
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      pair = merge.get<std::vector<std::string>>();
    }
    if (pair.size() != 2 || pair[0].empty() || pair[1].empty()) {
      return absl::DataLossError(
          absl::StrCat(path, ": merge ", files.merges.size(), " is no pair of symbols"));
    }
    files.merges.emplace_back(std::move(pair[0]), std::move(pair[1]));
  }
  return absl::OkStatus();
}

absl::Status ReadAddedTokens(const Json* tokens, const std::string& path, int64_t vocab_size,
                             TokenizerFiles& files) {
  if (tokens == nullptr) return absl::OkStatus();
  if (!tokens->is_array()) {
    return absl::DataLossError(absl::StrCat(path, ": added_tokens is no list"));
  }
  for (const Json& value : *tokens) {
    AD_ASSIGN_OR_RETURN(const std::string token, TokenContent(value, "added_tokens"));
    const Json* id = Find(&value, "id");
    AD_ASSIGN_OR_RETURN(files.added[token],
                        TokenId(id == nullptr ? Json() : *id, token, vocab_size));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadTokenizerJson(const std::string& path, int64_t vocab_size, TokenizerFiles& files) {
  AD_ASSIGN_OR_RETURN(const Json file, ReadJsonFile(path, kMaxJsonBytes));
  if (const absl::string_view step = StepThatIsNotClips(&file); !step.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": ", step, " is not that of CLIP's tokenizer"));
  }
  const Json* model = Find(&file, "model");
  AD_RETURN_IF_ERROR(ReadVocabulary(Find(model, "vocab"), path, vocab_size, files));
  AD_RETURN_IF_ERROR(ReadMerges(Find(model, "merges"), path, files));
  return ReadAddedTokens(Find(&file, "added_tokens"), path, vocab_size, files);
}

}  // namespace antidiffusion
