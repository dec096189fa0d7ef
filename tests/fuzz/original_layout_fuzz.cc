// The names and shapes of a checkpoint in the original layout, a tensor a line: "NAME SIDE SIDE
// ...".
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "core/surrogate/model_config.h"
#include "core/surrogate/original_layout.h"
#include "tests/fuzz/fuzz.h"

namespace antidiffusion {
namespace {

constexpr int64_t kLayers = 64;

NamedShapes Parse(absl::string_view input) {
  NamedShapes shapes;
  for (const absl::string_view line : absl::StrSplit(input, '\n')) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    std::vector<int64_t> shape;
    for (size_t i = 1; i < words.size(); ++i) {
      int64_t side = 0;
      if (absl::SimpleAtoi(words[i], &side) && side >= 0) shape.push_back(side);
    }
    shapes[words[0]] = shape;
  }
  return shapes;
}

// Each source is a tensor of the file with the rows that it names.
void CheckSources(const OriginalPart& part, const NamedShapes& shapes) {
  for (const auto& [name, source] : part.tensors) {
    const auto found = shapes.find(source.name);
    Require(found != shapes.end(), "a source that is not in the file");
    Require(source.rows == 0 || (!found->second.empty() && source.first_row >= 0 &&
                                 source.first_row + source.rows <= found->second[0]),
            "rows that are not in the file");
  }
}

void CheckCode(const absl::Status& status) {
  Require(status.ok() || absl::IsDataLoss(status) || absl::IsFailedPrecondition(status),
          "an error of another code");
}

void Check(const NamedShapes& shapes) {
  const OriginalPart unet = ReadOriginalUNet(shapes, "model.diffusion_model.", nullptr);
  CheckSources(unet, shapes);
  CheckCode(ParseUNetConfig(unet.config, "f").status());
  const OriginalPart vae = ReadOriginalVae(shapes, "first_stage_model.", nullptr);
  CheckSources(vae, shapes);
  CheckCode(ParseVaeConfig(vae.config, "f").status());
  const OriginalPart text[] = {
      ReadOriginalClip(shapes, "cond_stage_model.transformer.", nullptr),
      ReadOriginalClip(shapes, "conditioner.embedders.0.transformer.", nullptr),
      ReadOriginalOpenClip(shapes, "cond_stage_model.model.", {.layers = kLayers}, nullptr),
      ReadOriginalOpenClip(shapes, "conditioner.embedders.1.model.",
                           {.layers = kLayers, .projects = true}, nullptr)};
  for (const OriginalPart& part : text) {
    CheckSources(part, shapes);
    CheckCode(ParseClipTextConfig(part.config, "f").status());
  }
}

}  // namespace
}  // namespace antidiffusion

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  antidiffusion::Check(antidiffusion::Parse(antidiffusion::AsText(data, size)));
  return 0;
}
