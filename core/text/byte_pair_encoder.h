// The second half of CLIP's tokenizer: a word becomes the ids of its pieces.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace antidiffusion {

// Byte-pair encoding (Sennrich et al. 2016) over bytes, each written as one printable character, as
// GPT-2 and CLIP have it. Immutable, so thread-safe.
class BytePairEncoder {
 public:
  using Vocabulary = absl::flat_hash_map<std::string, int64_t>;

  // `merges`: pairs of symbols, the most urgent first; of a repeated pair the last place counts. A
  // piece that `vocabulary` lacks becomes `unknown_id`.
  BytePairEncoder(const Vocabulary& vocabulary,
                  const std::vector<std::pair<std::string, std::string>>& merges,
                  int64_t unknown_id);

  // Appends the ids of a word of any bytes. O(n log n) in its length, whatever the merges are.
  void Append(absl::string_view word, std::vector<int64_t>& ids) const;

 private:
  using Symbol = int32_t;  // into symbol_ids_
  struct Merge {
    int32_t rank;
    Symbol result;
  };
  struct Node;  // a piece of the word at hand, in a list
  class Merger;

  Symbol Intern(const Vocabulary& vocabulary, const std::string& text);

  const int64_t unknown_id_;
  absl::flat_hash_map<std::string, Symbol> symbols_;
  std::vector<int64_t> symbol_ids_;  // the vocabulary's id of each symbol
  std::vector<Symbol> inner_bytes_;  // [256] a byte within a word
  std::vector<Symbol> final_bytes_;  // [256] a word's last byte, marked </w>
  absl::flat_hash_map<std::pair<Symbol, Symbol>, Merge> merges_;
};

}  // namespace antidiffusion
