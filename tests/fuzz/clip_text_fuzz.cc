// A prompt of any bytes, by the tokenizer of a small model.
#include <memory>
#include <string>
#include <vector>

#include "core/text/clip_tokenizer.h"
#include "core/text/clip_words.h"
#include "tests/fuzz/fuzz.h"

namespace antidiffusion {
namespace {

constexpr char kFolder[] = ANTIDIFFUSION_SOURCE_DIR "/tests/golden/models/sd1-like/tokenizer";
constexpr int64_t kVocabSize = 1 << 16;
constexpr int64_t kLong = 300, kShort = 77;

std::unique_ptr<ClipTokenizer> Load() {
  auto tokenizer = ClipTokenizer::Create(kFolder, kVocabSize);
  Require(tokenizer.ok(), "the tokenizer of the golden model cannot be read");
  return std::move(tokenizer).value();
}

void Check(const ClipTokenizer& tokenizer, const std::string& text) {
  const std::string valid = ValidUtf8(text);
  Require(ValidUtf8(valid) == valid, "mending UTF-8 twice changes it");
  for (const std::string& word : SplitClipWords(text)) {
    Require(!word.empty() && ValidUtf8(word) == word, "a word that is empty or no UTF-8");
  }
  const std::vector<int64_t> ids = tokenizer.Encode(text, kShort);
  const std::vector<int64_t> more = tokenizer.Encode(text, kLong);
  Require(ids.size() == kShort && more.size() == kLong, "a prompt of another length");
  for (const int64_t id : more) Require(id >= 0 && id < kVocabSize, "an id out of the vocabulary");
  // A longer window only goes on; at the end of the shorter one stands the end token or padding.
  Require(std::equal(ids.begin(), ids.end() - 1, more.begin()), "the window changes the tokens");
}

}  // namespace
}  // namespace antidiffusion

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::unique_ptr<antidiffusion::ClipTokenizer> tokenizer = antidiffusion::Load();
  antidiffusion::Check(*tokenizer, std::string(antidiffusion::AsText(data, size)));
  return 0;
}
