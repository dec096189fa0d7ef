// The byte-pair tokenizer of CLIP: ids equal those of transformers' slow CLIPTokenizer without
// ftfy.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace antidiffusion {

// Immutable after Create, so thread-safe.
class ClipTokenizer {
 public:
  // Reads a tokenizer folder: vocab.json and merges.txt, or without a vocab.json tokenizer.json
  // (see ReadTokenizerJson), and where they exist tokenizer_config.json, special_tokens_map.json
  // and added_tokens.json. The special tokens are those of special_tokens_map.json, or of
  // tokenizer_config.json when that lists `added_tokens_decoder` (so do transformers: files of old
  // releases may disagree, and SD 2.x pads with "!"). NOT_FOUND: none of these files, or no
  // merges.txt; DATA_LOSS: a file does not add up or is over 16 MiB (tokenizer.json: 8 MiB), or an
  // id is not below `vocab_size` (that of the text encoder); FAILED_PRECONDITION: another kind of
  // tokenizer. Input is untrusted.
  static absl::StatusOr<std::unique_ptr<ClipTokenizer>> Create(
      const std::string& directory, int64_t vocab_size = std::numeric_limits<int64_t>::max());

  virtual ~ClipTokenizer() = default;

  // `text` is UTF-8 (broken sequences are left out). Begin, tokens, end, padding: always `length`
  // ids (at least 2; 77 for every published model); longer texts are cut so that the end token
  // stays. A special token within the text (SD 2.x: also each "!") gives its id. The time grows
  // with the text as n log n.
  virtual std::vector<int64_t> Encode(const std::string& text, int64_t length = 77) const = 0;
};

}  // namespace antidiffusion
