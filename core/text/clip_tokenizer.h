// The byte-pair tokenizer of CLIP: ids equal those of transformers' slow CLIPTokenizer without
// ftfy.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace antidiffusion {

// Immutable after Create, so thread-safe.
class ClipTokenizer {
 public:
  // Reads vocab.json, merges.txt, special_tokens_map.json and tokenizer_config.json of a folder;
  // the padding token is that of special_tokens_map.json. NOT_FOUND: a file is missing; DATA_LOSS:
  // it does not add up. Input is untrusted.
  static absl::StatusOr<std::unique_ptr<ClipTokenizer>> Create(const std::string& directory);

  virtual ~ClipTokenizer() = default;

  // `text` is UTF-8 (broken sequences become U+FFFD). Begin, tokens, end, padding: always `length`
  // ids (77); longer texts are cut so that the end token stays.
  virtual std::vector<int64_t> Encode(const std::string& text, int64_t length = 77) const = 0;
};

}  // namespace antidiffusion
