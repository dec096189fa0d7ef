#include "core/text/clip_tokenizer.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/strings/string_view.h"
#include "core/base/status_macros.h"
#include "core/text/byte_pair_encoder.h"
#include "core/text/clip_words.h"
#include "core/text/tokenizer_files.h"

namespace antidiffusion {
namespace {

// Words that the pattern of SplitClipWords keeps whole and that are then looked up as they are.
constexpr absl::string_view kWholeWords[] = {"<|startoftext|>", "<|endoftext|>"};

class FileTokenizer final : public ClipTokenizer {
 public:
  explicit FileTokenizer(TokenizerFiles files)
      : files_(std::move(files)), encoder_(files_.vocabulary, files_.merges, files_.unknown_id) {
    for (const auto& [token, id] : files_.added) {
      added_by_first_byte_[static_cast<unsigned char>(token.front())].emplace_back(token, id);
    }
    for (auto& tokens : added_by_first_byte_) {  // the longest wins
      std::stable_sort(tokens.begin(), tokens.end(), [](const auto& a, const auto& b) {
        return a.first.size() > b.first.size();
      });
    }
  }

  std::vector<int64_t> Encode(const std::string& text, int64_t length) const override {
    const auto size = static_cast<size_t>(std::max<int64_t>(length, 2));
    std::vector<int64_t> ids = {files_.begin_id};
    AppendText(ValidUtf8(text), size - 1, ids);
    if (ids.size() > size - 1) ids.resize(size - 1);
    ids.push_back(files_.end_id);
    ids.resize(size, files_.pad_id);
    return ids;
  }

 private:
  using Token = std::pair<absl::string_view, int64_t>;  // its text lies in files_

  // Cuts the text at the added tokens. May stop once there are `enough` ids: those that follow
  // cannot change them.
  void AppendText(const std::string& text, size_t enough, std::vector<int64_t>& ids) const {
    size_t begin = 0;  // of the text since the last added token
    for (size_t i = 0; i < text.size() && ids.size() < enough;) {
      const Token* token = AddedTokenAt(absl::string_view(text).substr(i));
      if (token == nullptr) {
        ++i;
        continue;
      }
      AppendSegment(text.substr(begin, i - begin), enough, ids);
      ids.push_back(token->second);
      i += token->first.size();
      begin = i;
    }
    if (ids.size() < enough) AppendSegment(text.substr(begin), enough, ids);
  }

  void AppendSegment(const std::string& text, size_t enough, std::vector<int64_t>& ids) const {
    for (const std::string& word : SplitClipWords(text)) {
      if (ids.size() >= enough) return;
      if (std::find(std::begin(kWholeWords), std::end(kWholeWords), word) !=
          std::end(kWholeWords)) {
        const auto id = files_.vocabulary.find(word);
        ids.push_back(id == files_.vocabulary.end() ? files_.unknown_id : id->second);
      } else {
        encoder_.Append(word, ids);
      }
    }
  }

  const Token* AddedTokenAt(absl::string_view text) const {
    for (const Token& token : added_by_first_byte_[static_cast<unsigned char>(text.front())]) {
      if (text.substr(0, token.first.size()) == token.first) return &token;
    }
    return nullptr;
  }

  const TokenizerFiles files_;
  const BytePairEncoder encoder_;
  std::vector<Token> added_by_first_byte_[256];
};

}  // namespace

absl::StatusOr<std::unique_ptr<ClipTokenizer>> ClipTokenizer::Create(const std::string& directory,
                                                                     int64_t vocab_size) {
  AD_ASSIGN_OR_RETURN(TokenizerFiles files, ReadTokenizerFiles(directory, vocab_size));
  return std::make_unique<FileTokenizer>(std::move(files));
}

}  // namespace antidiffusion
