// The first half of CLIP's tokenizer: a text is cleaned, lower-cased and cut into words.
#pragma once

#include <string>
#include <vector>

namespace antidiffusion {

// `text` with every broken UTF-8 sequence replaced by U+FFFD.
std::string ValidUtf8(const std::string& text);

// The words of a text, each valid UTF-8 and none of them empty, as transformers' slow CLIPTokenizer
// without ftfy finds them: drops control, format, private, unassigned characters and U+FFFD; puts
// spaces around CJK ideographs; normalises to NFC; lower-cases by Unicode's full rules; then cuts
// by the pattern
//   <|startoftext|> | <|endoftext|> | 's | 't | 're | 've | 'm | 'll | 'd
//   | letters | one number | anything else but space
// which ignores case: its s also matches U+017F, and U+0345 matches nothing. Character classes are
// those of the ICU that is linked. At most the first 2^28 UTF-16 units of `text` count. Linear
// time.
std::vector<std::string> SplitClipWords(const std::string& text);

}  // namespace antidiffusion
