// The spellings, dtypes and file layouts in which published checkpoints come.
#include <ATen/Functions.h>

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/surrogate/model_folder.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

at::Tensor OutputsOf(const ModelFolder& folder) {
  const absl::StatusOr<ModelSource> source = folder.Load();
  EXPECT_THAT(source, IsOk());
  return source.ok() ? Outputs(*source).value() : at::Tensor();
}

at::Tensor GoldenOutputs(const std::string& name) { return OutputsOf(ModelFolder(name)); }

// The VAE attention's names of today, out of those before diffusers 0.17.
std::string NewName(const std::string& name) {
  return absl::StrReplaceAll(name, {{".query.", ".to_q."},
                                    {".key.", ".to_k."},
                                    {".value.", ".to_v."},
                                    {".proj_attn.", ".to_out.0."}});
}

TEST(ModelSourceWeightsTest, TakesOldAndNewNamesOfTheVaeAttention) {
  const ModelFolder folder("sd1-like");
  int renamed = 0;
  folder.EditTensors(kVaeWeights, [&renamed](TensorMap& tensors) {
    TensorMap edited;
    for (const auto& [name, tensor] : tensors) {
      edited[NewName(name)] = tensor;
      if (NewName(name) != name) ++renamed;
    }
    tensors = edited;
  });
  EXPECT_EQ(renamed, 16);  // the golden file has the old names: weight and bias of 4, twice
  EXPECT_TRUE(OutputsOf(folder).equal(GoldenOutputs("sd1-like")));
}

TEST(ModelSourceWeightsTest, TakesTheVaeAttentionAsConvolutions) {
  const ModelFolder folder("sd1-like");
  folder.EditTensors(kVaeWeights, [](TensorMap& tensors) {
    for (auto& [name, tensor] : tensors) {
      if (NewName(name) != name && tensor.dim() == 2) tensor = tensor.unsqueeze(2).unsqueeze(3);
    }
  });
  EXPECT_TRUE(OutputsOf(folder).equal(GoldenOutputs("sd1-like")));
}

TEST(ModelSourceWeightsTest, TheTextEncodersPositionIdsMayBeThereOrNot) {
  const ModelFolder folder("sd1-like");
  folder.EditTensors(kTextWeights, [](TensorMap& tensors) {
    EXPECT_EQ(tensors.erase("text_model.embeddings.position_ids"), 1U);
  });
  EXPECT_TRUE(OutputsOf(folder).equal(GoldenOutputs("sd1-like")));
}

// As transformers from 5.6 on writes a text encoder that came out of a single file.
void ShortenTextNames(TensorMap& tensors) {
  TensorMap edited;
  for (const auto& [name, tensor] : tensors) {
    edited[std::string(absl::StripPrefix(name, "text_model."))] = tensor;
  }
  tensors = edited;
}

TEST(ModelSourceWeightsTest, TakesTextEncodersWithoutTheFirstPartOfTheirNames) {
  const ModelFolder folder("sd1-like");
  folder.EditTensors(kTextWeights, ShortenTextNames);
  EXPECT_TRUE(OutputsOf(folder).equal(GoldenOutputs("sd1-like")));

  const ModelFolder xl("sdxl-like");
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource before,
                          ReadModelSource(GoldenModelPath("sdxl-like"), {}));
  xl.EditTensors(kTextWeights, ShortenTextNames);
  xl.EditTensors("text_encoder_2/model.safetensors", ShortenTextNames);
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource after, xl.Load());
  EXPECT_THAT(after.notes, testing::IsEmpty());
  for (const size_t i : {0, 1}) {
    const TensorSources& wanted = before.denoiser->text[i].tensors;
    const TensorSources& found = after.denoiser->text[i].tensors;
    EXPECT_EQ(found.size(), wanted.size());
    for (const auto& [name, source] : wanted) {
      EXPECT_TRUE(found.at(name).Read()->equal(*source.Read())) << name;
    }
  }
}

TEST(ModelSourceWeightsTest, TextNamesOfBothKindsAreNotMixed) {
  const ModelFolder folder("sd1-like");
  folder.EditTensors(kTextWeights, [](TensorMap& tensors) {
    auto bias = tensors.extract("text_model.final_layer_norm.bias");
    bias.key() = "final_layer_norm.bias";
    tensors.insert(std::move(bias));
  });
  EXPECT_THAT(folder.Load(), StatusIs(kDataLoss, "missing text_model.final_layer_norm.bias"));
}

void ConvertTo(c10::ScalarType type, TensorMap& tensors) {
  for (auto& [name, tensor] : tensors) {
    if (tensor.is_floating_point()) tensor = tensor.to(type);
  }
}

TEST(ModelSourceWeightsTest, TakesHalfPrecision) {
  for (const auto& [type, variant] :
       {std::pair(c10::kHalf, ".fp16"), std::pair(c10::kBFloat16, ".bf16")}) {
    const ModelFolder named("sd2-base-like");    // as a variant
    const ModelFolder unnamed("sd2-base-like");  // under the plain name
    const ModelFolder rounded("sd2-base-like");  // the same values, in fp32
    for (const char* file : {kUNetWeights, kVaeWeights, kTextWeights}) {
      const auto convert = [type = type](TensorMap& tensors) { ConvertTo(type, tensors); };
      unnamed.EditTensors(file, convert);
      rounded.EditTensors(file, [&convert](TensorMap& tensors) {
        convert(tensors);
        ConvertTo(c10::kFloat, tensors);
      });
      named.EditTensors(file, convert);
      named.Rename(file, absl::StrReplaceAll(
                             file, {{".safetensors", std::string(variant) + ".safetensors"}}));
    }
    const at::Tensor expected = OutputsOf(rounded);
    EXPECT_TRUE(OutputsOf(named).equal(expected)) << variant;
    EXPECT_TRUE(OutputsOf(unnamed).equal(expected)) << variant;
    EXPECT_FALSE(expected.equal(GoldenOutputs("sd2-base-like")));
  }
}

TEST(ModelSourceWeightsTest, PrefersFullPrecisionToAVariant) {
  const ModelFolder folder("sd1-like");
  folder.Write("unet/diffusion_pytorch_model.fp16.safetensors", "not even a file");
  EXPECT_TRUE(OutputsOf(folder).equal(GoldenOutputs("sd1-like")));
}

constexpr char kLfsPointer[] =
    "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3438\n";

// As a clone without git-LFS has it in which one variant was fetched.
TEST(ModelSourceWeightsTest, AGitLfsPointerDoesNotHideAVariant) {
  const ModelFolder folder("sd1-like");
  const at::Tensor expected = GoldenOutputs("sd1-like");
  folder.Rename(kUNetWeights, "unet/diffusion_pytorch_model.fp16.safetensors");
  folder.Write(kUNetWeights, kLfsPointer);
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource source, folder.Load());
  EXPECT_TRUE(Outputs(source)->equal(expected));
  ASSERT_EQ(source.notes.size(), 1U);
  EXPECT_THAT(source.notes[0], HasSubstr("diffusion_pytorch_model.safetensors is a git-LFS"));
  EXPECT_THAT(source.notes[0], HasSubstr("diffusion_pytorch_model.fp16.safetensors"));
  folder.Write("unet/diffusion_pytorch_model.fp16.safetensors", kLfsPointer);
  EXPECT_THAT(folder.Load(), StatusIs(kDataLoss,
                                      "model.safetensors: not a valid safetensors "
                                      "file: a git-LFS pointer"));
}

// Splits a weight file into two shards with an index under `index_name`.
void Shard(const ModelFolder& folder, const std::string& file, const std::string& index_name) {
  const std::string part = std::filesystem::path(file).parent_path();
  const TensorMap tensors = ReadSafetensors(folder.File(file));
  TensorMap shards[2];
  Json index = {{"metadata", {{"total_size", 1}}}, {"weight_map", Json::object()}};
  size_t i = 0;
  for (const auto& [name, tensor] : tensors) {
    const size_t shard = (i++ / 3) % 2;
    shards[shard][name] = tensor;
    index["weight_map"][name] =
        shard == 0 ? "model-00001-of-00002.safetensors" : "model-00002-of-00002.safetensors";
  }
  WriteSafetensors(folder.File(part + "/model-00001-of-00002.safetensors"), shards[0]);
  WriteSafetensors(folder.File(part + "/model-00002-of-00002.safetensors"), shards[1]);
  folder.Write(part + "/" + index_name, index.dump());
  folder.Remove(file);
}

TEST(ModelSourceWeightsTest, TakesShards) {
  const at::Tensor expected = GoldenOutputs("sd1-like");
  for (const char* variant : {".safetensors.index.json", ".safetensors.index.fp16.json",
                              ".fp16.safetensors.index.json"}) {
    const ModelFolder folder("sd1-like");
    Shard(folder, kUNetWeights, std::string("diffusion_pytorch_model") + variant);
    Shard(folder, kTextWeights, std::string("model") + variant);
    EXPECT_TRUE(OutputsOf(folder).equal(expected)) << variant;
  }
}

TEST(ModelSourceWeightsTest, RefusesAMissingShard) {
  const ModelFolder folder("sd1-like");
  Shard(folder, kUNetWeights, "diffusion_pytorch_model.safetensors.index.json");
  folder.Remove("unet/model-00002-of-00002.safetensors");
  EXPECT_THAT(folder.Load(), StatusIs(kNotFound, "model-00002-of-00002.safetensors"));
}

TEST(ModelSourceWeightsTest, AnIndexNamesFilesOfItsOwnFolderOnly) {
  const ModelFolder folder("sd1-like");
  folder.Rename(kUNetWeights, "outside.safetensors");
  for (const Json& name :
       {Json("../outside.safetensors"), Json(folder.File("outside.safetensors")),
        Json("sub/../../outside.safetensors"), Json("..\\outside.safetensors"),
        Json(".safetensors"), Json(".."), Json(""), Json(std::string("x\0.safetensors", 14)),
        Json("config.json"), Json(3), Json(nullptr), Json::array({"a.safetensors"})}) {
    folder.Write("unet/diffusion_pytorch_model.safetensors.index.json",
                 Json{{"weight_map", {{"conv_in.weight", name}}}}.dump());
    EXPECT_THAT(folder.Load(), StatusIs(kDataLoss, "no name of a .safetensors file")) << name;
  }
}

TEST(ModelSourceWeightsTest, RefusesAnIndexOfOverFourMebibytes) {
  const ModelFolder folder("sd1-like");
  folder.Remove(kUNetWeights);
  std::string index((4 << 20) - 1, ' ');
  index.append("{}");
  folder.Write("unet/diffusion_pytorch_model.safetensors.index.json", index);
  EXPECT_THAT(folder.Load(), StatusIs(kDataLoss, "limit 4194304"));
}

TEST(ModelSourceWeightsTest, RefusesAnIndexWithoutAMap) {
  const ModelFolder folder("sd1-like");
  folder.Remove(kUNetWeights);
  for (const char* index : {"{}", R"({"weight_map": []})", R"({"weight_map": {}})"}) {
    folder.Write("unet/diffusion_pytorch_model.safetensors.index.json", index);
    EXPECT_THAT(folder.Load(), StatusIs(kDataLoss, "weight_map"));
  }
}

TEST(ModelSourceWeightsTest, RefusesPicklesAndNamesTheToolThatConvertsThem) {
  for (const auto& [file, pickle] : {std::pair(kUNetWeights, "unet/diffusion_pytorch_model.bin"),
                                     std::pair(kVaeWeights, "vae/diffusion_pytorch_model.bin"),
                                     std::pair(kTextWeights, "text_encoder/pytorch_model.bin")}) {
    const ModelFolder folder("sd1-like");
    folder.Write(pickle, "pickle");
    EXPECT_THAT(folder.Load(), IsOk());  // beside safetensors it is left alone
    folder.Remove(file);
    EXPECT_THAT(folder.Load(), StatusIs(kFailedPrecondition, "safe_serialization=True"));
    EXPECT_THAT(folder.Load(),
                StatusIs(kFailedPrecondition,
                         std::string(pickle).substr(1 + std::string(pickle).find('/'))));
  }
}

TEST(ModelSourceWeightsTest, RefusesASingleCheckpointFile) {
  const TempDir dir;
  dir.Write("v1-5-pruned-emaonly.ckpt", "pickle");
  const auto loaded = ReadModelSource(dir.path(), {});
  EXPECT_THAT(loaded, StatusIs(kFailedPrecondition, "v1-5-pruned-emaonly.ckpt"));
  EXPECT_THAT(loaded,
              StatusIs(kFailedPrecondition, "convert_original_stable_diffusion_to_diffusers.py"));
}

TEST(ModelSourceWeightsTest, IsStrictAboutNamesAndShapes) {
  const ModelFolder folder("sd1-like");
  folder.EditTensors(kUNetWeights, [](TensorMap& tensors) {
    tensors.erase("conv_in.weight");
    tensors["mid_block.surplus.weight"] = at::ones(1);
    tensors["conv_out.bias"] = at::ones(5);
  });
  const auto loaded = folder.Load();
  EXPECT_THAT(loaded, StatusIs(kDataLoss, "1 keys missing, 1 surplus, 1 misshapen; first 3"));
  const std::string message(loaded.status().message());
  EXPECT_THAT(message, HasSubstr("missing conv_in.weight"));
  EXPECT_THAT(message, HasSubstr("surplus mid_block.surplus.weight"));
  EXPECT_THAT(message, HasSubstr("misshapen conv_out.bias [5] instead of [4]"));
}

// As diffusers: it warns of them.
TEST(ModelSourceWeightsTest, NotesSurplusTensorsAndLeavesThemUnread) {
  const ModelFolder folder("sd1-like");
  folder.EditTensors(kUNetWeights,
                     [](TensorMap& tensors) { tensors["mid_block.ema.weight"] = at::ones(1); });
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource source, folder.Load());
  EXPECT_THAT(source.notes,
              testing::ElementsAre("unet: 1 tensors are not read, first mid_block.ema.weight"));
  EXPECT_TRUE(Outputs(source)->equal(GoldenOutputs("sd1-like")));
}

// Nothing of it is read, so neither its dtype matters nor its size, and equal encoders stay equal.
TEST(ModelSourceWeightsTest, SurplusTensorsOfTheVaeAreNoPartOfItsDigest) {
  const ModelFolder folder("sd1-like");
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource plain, folder.Load());
  folder.EditTensors(kVaeWeights,
                     [](TensorMap& tensors) { tensors["encoder.stray.weight"] = at::ones({3}); });
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource stray, folder.Load());
  EXPECT_EQ(stray.encoder_digest, plain.encoder_digest);
  EXPECT_THAT(stray.encoder, testing::Not(testing::Contains(testing::Key("encoder.stray.weight"))));
  EXPECT_THAT(stray.notes,
              testing::ElementsAre("vae: 1 tensors are not read, first encoder.stray.weight"));
}

TEST(ModelSourceWeightsTest, SurplusTensorsMayHaveAnyDtype) {
  for (const auto& [dtype, bytes] :
       {std::pair<std::string, size_t>("F8_E4M3", 8), {"U64", 64}, {"BOOL", 8}}) {
    const ModelFolder folder("sd1-like");
    AD_ASSERT_OK_AND_ASSIGN(const ModelSource plain, folder.Load());
    // The stray tensor in a shard of its own.
    folder.Rename(kVaeWeights, "vae/a.safetensors");
    const std::string header =
        Json{{"encoder.stray", {{"dtype", dtype}, {"shape", {8}}, {"data_offsets", {0, bytes}}}}}
            .dump();
    folder.Write("vae/b.safetensors", RawSafetensorsBytes(header, std::string(bytes, 'x')));
    folder.Write("vae/diffusion_pytorch_model.safetensors.index.json",
                 R"({"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}})");
    AD_ASSERT_OK_AND_ASSIGN(const ModelSource source, folder.Load());
    EXPECT_EQ(source.encoder_digest, plain.encoder_digest) << dtype;
    EXPECT_TRUE(Outputs(source)->equal(*Outputs(plain)));
  }
}

// The address space that a process may use, cut down while this lives.
class AddressSpaceLimit {
 public:
  explicit AddressSpaceLimit(uint64_t bytes_more) {
    getrlimit(RLIMIT_AS, &before_);
    std::ifstream statm("/proc/self/statm");
    uint64_t pages = 0;
    statm >> pages;
    rlimit limit = before_;
    limit.rlim_cur = pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) + bytes_more;
    setrlimit(RLIMIT_AS, &limit);
  }
  AddressSpaceLimit(const AddressSpaceLimit&) = delete;
  AddressSpaceLimit& operator=(const AddressSpaceLimit&) = delete;
  ~AddressSpaceLimit() { setrlimit(RLIMIT_AS, &before_); }

 private:
  rlimit before_ = {};
};

// 64 GiB of token embeddings, 400 GB of UNet: nothing may be allocated before shapes are compared.
TEST(ModelSourceWeightsTest, AHugeConfigurationOfSmallFilesAllocatesNothing) {
  const ModelFolder text("sd1-like");
  text.EditJson("text_encoder/config.json", [](Json& json) { json["vocab_size"] = 1 << 20; });
  text.EditJson("text_encoder/config.json", [](Json& json) { json["hidden_size"] = 16384; });
  text.EditJson("unet/config.json", [](Json& json) { json["cross_attention_dim"] = 16384; });
  const ModelFolder unet("sd1-like");
  unet.EditJson("unet/config.json", [](Json& json) {
    json["block_out_channels"] = {16384, 16384, 16384, 16384};
  });
  const AddressSpaceLimit limit(uint64_t{4} << 30);
  EXPECT_THAT(text.Load(), StatusIs(kDataLoss, "misshapen"));
  EXPECT_THAT(unet.Load(), StatusIs(kDataLoss, "misshapen"));
}

TEST(ModelSourceWeightsTest, NamesTenOfManyMissingKeys) {
  const ModelFolder folder("sd1-like");
  folder.EditTensors(kVaeWeights, [](TensorMap& tensors) {
    for (auto item = tensors.begin(); item != tensors.end();) {
      item = absl::StartsWith(item->first, "encoder.down_blocks.") ? tensors.erase(item) : ++item;
    }
  });
  const auto loaded = folder.Load();
  EXPECT_THAT(loaded, StatusIs(kDataLoss, "first 10"));
  const std::string message(loaded.status().message());
  size_t named = 0;
  for (size_t at = message.find("missing encoder."); at != std::string::npos;
       at = message.find("missing encoder.", at + 1)) {
    ++named;
  }
  EXPECT_EQ(named, 10U);
}

// The spellings of old releases belong to the VAE's attention and the text encoder alone.
TEST(ModelSourceWeightsTest, TakesNoOtherSpelling) {
  const ModelFolder convolution("sd2-base-like");
  convolution.EditTensors(kUNetWeights, [](TensorMap& tensors) {
    at::Tensor& projection = tensors.at("down_blocks.0.attentions.0.proj_in.weight");
    projection = projection.unsqueeze(2).unsqueeze(3);
  });
  EXPECT_THAT(convolution.Load(), StatusIs(kDataLoss, "proj_in.weight"));
}

TEST(ModelSourceWeightsTest, RefusesTruncatedFiles) {
  for (const char* file : {kUNetWeights, kVaeWeights, kTextWeights}) {
    const ModelFolder folder("sd1-like");
    const auto size = std::filesystem::file_size(folder.File(file));
    for (const auto cut : {size - 1, size / 2, uintmax_t{100}, uintmax_t{0}}) {
      std::filesystem::resize_file(folder.File(file), cut);
      EXPECT_THAT(folder.Load(), StatusIs(kDataLoss, file)) << cut;
    }
  }
}

TEST(ModelSourceWeightsTest, RefusesWeightsThatAreNotFinite) {
  const ModelFolder folder("sd1-like");
  folder.EditTensors(kUNetWeights, [](TensorMap& tensors) {
    tensors.at("conv_norm_out.weight")[3] = std::nan("");
  });
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource source, folder.Load());
  EXPECT_THAT(Outputs(source), StatusIs(kDataLoss, "conv_norm_out.weight"));
}

}  // namespace
}  // namespace antidiffusion
