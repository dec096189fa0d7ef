// A tokenizer folder out of one input: a line "== NAME" begins each file.
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "core/text/clip_tokenizer.h"
#include "core/text/tokenizer_files.h"
#include "tests/fuzz/fuzz.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

constexpr int64_t kVocabSize = 1000;
constexpr int64_t kLength = 16;
constexpr const char* kNames[] = {"vocab.json",
                                  "merges.txt",
                                  "tokenizer.json",
                                  "tokenizer_config.json",
                                  "special_tokens_map.json",
                                  "added_tokens.json"};
constexpr char kText[] = "A photo of sks <|endoftext|> dog, 'll! 7 \xc3\xa9t\xc3\xa9";

// Writes those of kNames that the input has; the others are removed.
void WriteFolder(const TempDir& folder, absl::string_view input) {
  std::string files[std::size(kNames)];
  bool present[std::size(kNames)] = {};
  std::string* current = nullptr;
  for (const absl::string_view line : absl::StrSplit(input, '\n')) {
    if (absl::StartsWith(line, "== ")) {
      current = nullptr;
      for (size_t i = 0; i < std::size(kNames); ++i) {
        if (line.substr(3) != kNames[i]) continue;
        present[i] = true;
        current = &files[i];
      }
    } else if (current != nullptr) {
      current->append(line.data(), line.size()).push_back('\n');
    }
  }
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (present[i]) {
      folder.Write(kNames[i], files[i]);
    } else {
      std::remove(folder.File(kNames[i]).c_str());
    }
  }
}

void CheckId(int64_t id) { Require(id >= 0 && id < kVocabSize, "an id out of the vocabulary"); }

void Check(const TempDir& folder) {
  const absl::StatusOr<TokenizerFiles> files = ReadTokenizerFiles(folder.path(), kVocabSize);
  const auto tokenizer = ClipTokenizer::Create(folder.path(), kVocabSize);
  Require(tokenizer.status() == files.status(), "a folder is read in two ways");
  if (!files.ok()) {
    Require(absl::IsNotFound(files.status()) || absl::IsDataLoss(files.status()) ||
                absl::IsFailedPrecondition(files.status()),
            "an error of another code");
    return;
  }
  for (const auto& [token, id] : files->vocabulary) CheckId(id);
  for (const auto& [token, id] : files->added) {
    Require(!token.empty(), "an empty token");
    CheckId(id);
  }
  for (const int64_t id : {files->begin_id, files->end_id, files->unknown_id, files->pad_id}) {
    CheckId(id);
  }
  const std::vector<int64_t> ids = (*tokenizer)->Encode(kText, kLength);
  Require(ids.size() == kLength, "a prompt of another length");
  for (const int64_t id : ids) CheckId(id);
}

}  // namespace
}  // namespace antidiffusion

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const antidiffusion::TempDir folder;
  antidiffusion::WriteFolder(folder, antidiffusion::AsText(data, size));
  antidiffusion::Check(folder);
  return 0;
}
