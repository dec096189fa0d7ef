#include "core/text/clip_words.h"

#include <unicode/locid.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>

namespace antidiffusion {
namespace {

constexpr int32_t kMaxUnits = 1 << 28;  // ICU's strings are indexed by 32 bits
constexpr UChar32 kReplacement = 0xFFFD;
constexpr UChar32 kLongS = 0x17F;  // folds to s
// The one character that the pattern matches nowhere: a mark whose other case is a letter.
constexpr UChar32 kYpogegrammeni = 0x345;

// In the pattern's order: the first that matches wins.
constexpr const char* kFixedWords[] = {
    "<|startoftext|>", "<|endoftext|>", "'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};

uint32_t CategoryMask(UChar32 c) { return U_GET_GC_MASK(c); }
bool IsLetter(UChar32 c) { return (CategoryMask(c) & U_GC_L_MASK) != 0; }
bool IsNumber(UChar32 c) { return (CategoryMask(c) & U_GC_N_MASK) != 0; }
bool IsSeparator(UChar32 c) { return (CategoryMask(c) & U_GC_Z_MASK) != 0; }

// What stands between words once a text is clean.
bool IsBetweenWords(UChar32 c) { return c == ' ' || c == kYpogegrammeni; }

bool IsDropped(UChar32 c) { return c == kReplacement || (CategoryMask(c) & U_GC_C_MASK) != 0; }

// The blocks that BERT's tokenizer treats as ideographs.
bool IsIdeograph(UChar32 c) {
  struct Range {
    UChar32 first, last;
  };
  static constexpr Range kRanges[] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},
                                      {0x20000, 0x2A6DF}, {0x2A700, 0x2CEAF}, {0x2F800, 0x2FA1F}};
  return std::any_of(std::begin(kRanges), std::end(kRanges),
                     [c](const Range& range) { return range.first <= c && c <= range.last; });
}

icu::UnicodeString FromUtf8(const std::string& text) {
  // A byte gives at most one UTF-16 unit, so the cut is never shorter than what it stands for.
  const size_t bytes = std::min(text.size(), static_cast<size_t>(kMaxUnits));
  return icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<int32_t>(bytes)));
}

std::string ToUtf8(const icu::UnicodeString& text, int32_t begin, int32_t end) {
  std::string utf8;
  text.tempSubStringBetween(begin, end).toUTF8String(utf8);
  return utf8;
}

// Spaces are the only separators left in the result.
icu::UnicodeString Clean(const icu::UnicodeString& text) {
  icu::UnicodeString clean;
  for (int32_t i = 0; i < text.length(); i = text.moveIndex32(i, 1)) {
    const UChar32 c = text.char32At(i);
    if (c == '\t' || c == '\n' || c == '\r' || IsSeparator(c)) {
      clean.append(u' ');
    } else if (IsIdeograph(c)) {
      clean.append(u' ').append(c).append(u' ');
    } else if (!IsDropped(c)) {
      clean.append(c);
    }
  }
  return clean;
}

icu::UnicodeString NormaliseAndLower(const icu::UnicodeString& text) {
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* nfc = icu::Normalizer2::getNFCInstance(error);
  icu::UnicodeString result = U_SUCCESS(error) ? nfc->normalize(text, error) : text;
  if (U_FAILURE(error)) result = text;  // ICU's data is linked in: only memory can be missing
  return result.toLower(icu::Locale::getRoot());
}

// The end of `word` (ASCII) when it stands at `begin`, else `begin`.
int32_t EndOfFixedWord(const icu::UnicodeString& text, int32_t begin, const char* word) {
  int32_t i = begin;
  for (; *word != '\0'; ++word, ++i) {
    if (i >= text.length()) return begin;
    const char16_t c = text.charAt(i) == kLongS ? u's' : text.charAt(i);
    if (c != static_cast<char16_t>(*word)) return begin;
  }
  return i;
}

// The end of the word that begins at `begin`.
int32_t EndOfWord(const icu::UnicodeString& text, int32_t begin) {
  for (const char* word : kFixedWords) {
    const int32_t end = EndOfFixedWord(text, begin, word);
    if (end > begin) return end;
  }
  const UChar32 first = text.char32At(begin);
  int32_t end = text.moveIndex32(begin, 1);
  if (IsNumber(first)) return end;
  const bool letters = IsLetter(first);
  while (end < text.length()) {
    const UChar32 c = text.char32At(end);
    const bool belongs = letters ? IsLetter(c) : !IsBetweenWords(c) && !IsLetter(c) && !IsNumber(c);
    if (!belongs) break;
    end = text.moveIndex32(end, 1);
  }
  return end;
}

}  // namespace

std::string ValidUtf8(const std::string& text) {
  std::string valid;
  FromUtf8(text).toUTF8String(valid);
  return valid;
}

std::vector<std::string> SplitClipWords(const std::string& text) {
  const icu::UnicodeString clean = NormaliseAndLower(Clean(FromUtf8(text)));
  std::vector<std::string> words;
  for (int32_t i = 0; i < clean.length();) {
    if (IsBetweenWords(clean.charAt(i))) {
      ++i;
      continue;
    }
    const int32_t end = EndOfWord(clean, i);
    words.push_back(ToUtf8(clean, i, end));
    i = end;
  }
  return words;
}

}  // namespace antidiffusion
