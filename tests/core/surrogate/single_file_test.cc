// Checkpoints in one file (tests/golden/single_files, which diffusers converts to the same
// tensors).
#include <ATen/ATen.h>

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/models/unet.h"
#include "core/surrogate/model_source.h"
#include "core/surrogate/networks.h"
#include "core/surrogate/prediction.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/surrogate/model_folder.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;

std::string SingleFilePath(const std::string& name) {
  return std::string(ANTIDIFFUSION_SOURCE_DIR) + "/tests/golden/single_files/" + name;
}

// A copy of a single file and of its NAME.json, and the tokenizers of the model it was made from as
// those that all such files share.
class SingleFile {
 public:
  explicit SingleFile(const std::string& name) {
    for (const char* extension : {".safetensors", ".json"}) {
      std::filesystem::copy_file(SingleFilePath(name + extension),
                                 dir_.File(absl::StrCat("m", extension)));
    }
    const std::string folder = GoldenModelPath(name);
    const bool is_xl = std::filesystem::exists(folder + "/tokenizer_2");
    std::filesystem::create_directory(dir_.File("tokenizers"));
    std::filesystem::copy(folder + "/tokenizer", dir_.File("tokenizers/clip"));
    std::filesystem::copy(folder + (is_xl ? "/tokenizer_2" : "/tokenizer"),
                          dir_.File("tokenizers/open_clip"));
  }

  absl::StatusOr<ModelSource> Load() const {
    return ReadModelSource(dir_.File("m.safetensors"), {.tokenizers = dir_.File("tokenizers")});
  }

  void Edit(const std::function<void(TensorMap&)>& edit) const {
    TensorMap tensors = ReadSafetensors(dir_.File("m.safetensors"));
    edit(tensors);
    WriteSafetensors(dir_.File("m.safetensors"), tensors);
  }

  void EditSidecar(const std::function<void(Json&)>& edit) const {
    Json json = Json::parse(ReadFileBytes(dir_.File("m.json")));
    edit(json);
    dir_.Write("m.json", json.dump());
  }

  const TempDir& dir() const { return dir_; }

 private:
  const TempDir dir_;
};

// Each tensor of the folder's network, rounded to half precision, is that of the single file.
void ExpectSameWeights(const TensorSources& folder, const TensorSources& file,
                       const std::string& what) {
  EXPECT_FALSE(folder.empty());
  for (const auto& [name, source] : folder) {
    ASSERT_THAT(file, Contains(testing::Key(name))) << what;
    AD_ASSERT_OK_AND_ASSIGN(at::Tensor wanted, source.Read());
    AD_ASSERT_OK_AND_ASSIGN(at::Tensor found, file.at(name).Read());
    if (found.dim() == 4 && wanted.dim() == 2) found = found.squeeze(3).squeeze(2);
    EXPECT_TRUE(found.equal(wanted.to(at::kHalf))) << what << " " << name;
  }
}

void ExpectSameConfigs(const ModelSource& folder, const ModelSource& file) {
  EXPECT_EQ(file.family, folder.family);
  const UNetConfig& wanted = folder.denoiser->config;
  const UNetConfig& found = file.denoiser->config;
  EXPECT_EQ(found.sample_size, wanted.sample_size);
  EXPECT_EQ(found.in_channels, wanted.in_channels);
  EXPECT_EQ(found.block_out_channels, wanted.block_out_channels);
  EXPECT_EQ(found.down_block_types, wanted.down_block_types);
  EXPECT_EQ(found.up_block_types, wanted.up_block_types);
  EXPECT_EQ(found.layers_per_block, wanted.layers_per_block);
  EXPECT_EQ(found.transformer_layers, wanted.transformer_layers);
  EXPECT_EQ(found.attention_heads, wanted.attention_heads);
  EXPECT_EQ(found.cross_attention_dim, wanted.cross_attention_dim);
  EXPECT_EQ(found.use_linear_projection, wanted.use_linear_projection);
  EXPECT_EQ(found.norm_num_groups, wanted.norm_num_groups);
  EXPECT_EQ(found.pooled_dim(), wanted.pooled_dim());
  const auto& vae = std::get<VaeConfig>(file.encoder_config);
  EXPECT_EQ(vae.scaling_factor, std::get<VaeConfig>(folder.encoder_config).scaling_factor);
  EXPECT_EQ(vae.shift_factor, 0);
  const NoiseScheduleConfig& schedule = file.denoiser->schedule;
  EXPECT_EQ(schedule.prediction_type, folder.denoiser->schedule.prediction_type);
  EXPECT_EQ(schedule.beta_start, folder.denoiser->schedule.beta_start);
  EXPECT_EQ(schedule.beta_end, folder.denoiser->schedule.beta_end);
  EXPECT_EQ(schedule.beta_schedule, folder.denoiser->schedule.beta_schedule);
}

TEST(SingleFileTest, GivesTheWeightsOfTheFolderBitForBit) {
  for (const std::string name : {"sd1-like", "sd2-v-like", "inpaint-like", "pix2pix-like",
                                 "sdxl-like", "sdxl-inpaint-like", "sdxl-pix2pix-like"}) {
    AD_ASSERT_OK_AND_ASSIGN(const ModelSource folder, ReadModelSource(GoldenModelPath(name), {}));
    AD_ASSERT_OK_AND_ASSIGN(const ModelSource file, SingleFile(name).Load());
    ExpectSameConfigs(folder, file);
    ExpectSameWeights(folder.denoiser->tensors, file.denoiser->tensors, name + " unet");
    ExpectSameWeights(folder.encoder, file.encoder, name + " vae");
    ASSERT_EQ(file.denoiser->text.size(), folder.denoiser->text.size());
    for (size_t i = 0; i < file.denoiser->text.size(); ++i) {
      const TextSource& wanted = folder.denoiser->text[i];
      const TextSource& found = file.denoiser->text[i];
      ExpectSameWeights(wanted.tensors, found.tensors, absl::StrCat(name, " text ", i));
      EXPECT_EQ(found.config.num_hidden_layers, wanted.config.num_hidden_layers);
      EXPECT_EQ(found.config.hidden_act, wanted.config.hidden_act);
      EXPECT_EQ(found.config.projection_dim, wanted.config.projection_dim);
      EXPECT_EQ(found.tokenizer->Encode("a photo!"), wanted.tokenizer->Encode("a photo!"));
    }
  }
}

TEST(SingleFileTest, ComputesWhatTheFolderInHalfPrecisionComputes) {
  for (const std::string name : {"sd1-like", "sd2-v-like"}) {
    const ModelFolder folder(name);
    for (const char* file : {kUNetWeights, kVaeWeights, kTextWeights}) {
      folder.EditTensors(file, [](TensorMap& tensors) {
        for (auto& [key, tensor] : tensors) {
          if (tensor.is_floating_point()) tensor = tensor.to(at::kHalf);
        }
      });
    }
    AD_ASSERT_OK_AND_ASSIGN(const ModelSource from_folder, folder.Load());
    const SingleFile single(name);
    AD_ASSERT_OK_AND_ASSIGN(const ModelSource from_file, single.Load());
    EXPECT_TRUE(Outputs(from_file)->equal(*Outputs(from_folder))) << name;
    EXPECT_EQ(from_file.encoder_digest, from_folder.encoder_digest);  // one VAE, two layouts
  }
}

TEST(SingleFileTest, TheSidecarSaysThePredictionType) {
  const SingleFile file("sd2-v-like");
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource said, file.Load());
  EXPECT_EQ(said.denoiser->schedule.prediction_type, PredictionType::kVPrediction);
  EXPECT_FALSE(said.denoiser->prediction_is_open);
  EXPECT_THAT(said.notes, Contains("prediction type v_prediction, by NAME.json"));
  file.EditSidecar([](Json& json) {
    json.erase("prediction_type");
    json["scheduler"] = {{"prediction_type", "v_prediction"}};
  });
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource as_config, file.Load());
  EXPECT_EQ(as_config.denoiser->schedule.prediction_type, PredictionType::kVPrediction);
  EXPECT_FALSE(as_config.denoiser->prediction_is_open);
}

// The UNet's answer to pure noise decides, as in A1111's web UI.
TEST(SingleFileTest, WithoutASidecarTheUNetOfSd2IsAsked) {
  const SingleFile file("sd2-v-like");
  file.EditSidecar([](Json& json) {
    json.erase("prediction_type");
    json["unet"].erase("sample_size");
  });
  // Every weight of the last convolution is zero, so that its bias is the answer everywhere.
  for (const auto& [bias, velocity] : {std::pair(-0.6, true), std::pair(-0.4, false)}) {
    file.Edit([bias = bias](TensorMap& tensors) {
      tensors["model.diffusion_model.out.2.weight"].zero_();
      tensors["model.diffusion_model.out.2.bias"].fill_(bias);
    });
    AD_ASSERT_OK_AND_ASSIGN(ModelSource source, file.Load());
    DenoiserSource& denoiser = *source.denoiser;
    ASSERT_TRUE(denoiser.prediction_is_open);
    AD_ASSERT_OK_AND_ASSIGN(UNet unet, ReadNetwork<UNet>(denoiser.config, denoiser.tensors, {}));
    SettlePrediction(unet, source);
    EXPECT_FALSE(denoiser.prediction_is_open);
    EXPECT_EQ(denoiser.schedule.prediction_type,
              velocity ? PredictionType::kVPrediction : PredictionType::kEpsilon);
    EXPECT_EQ(denoiser.config.sample_size, velocity ? 96 : 64);
    EXPECT_THAT(source.notes, Contains(HasSubstr("as A1111 does")));
    const size_t notes = source.notes.size();
    SettlePrediction(unet, source);  // settled once
    EXPECT_EQ(source.notes.size(), notes);
  }
}

TEST(SingleFileTest, ANativeSideThatWasSaidStays) {
  const SingleFile file("sd2-v-like");
  file.Edit([](TensorMap& tensors) {
    tensors["model.diffusion_model.out.2.weight"].zero_();
    tensors["model.diffusion_model.out.2.bias"].fill_(-0.6);
  });
  for (const int64_t side : {64, 32}) {
    file.EditSidecar([side](Json& json) {
      json.erase("prediction_type");
      json["unet"]["sample_size"] = side;
    });
    AD_ASSERT_OK_AND_ASSIGN(ModelSource source, file.Load());
    DenoiserSource& denoiser = *source.denoiser;
    ASSERT_TRUE(denoiser.prediction_is_open);
    AD_ASSERT_OK_AND_ASSIGN(UNet unet, ReadNetwork<UNet>(denoiser.config, denoiser.tensors, {}));
    SettlePrediction(unet, source);
    EXPECT_EQ(denoiser.schedule.prediction_type, PredictionType::kVPrediction);
    EXPECT_EQ(denoiser.config.sample_size, side);
  }
}

TEST(SingleFileTest, HonoursTheMarkersOfVelocityModelsOfXl) {
  const SingleFile file("sdxl-like");
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource plain, file.Load());
  EXPECT_EQ(plain.denoiser->schedule.prediction_type, PredictionType::kEpsilon);
  EXPECT_FALSE(plain.denoiser->schedule.rescale_betas_zero_snr);
  file.Edit([](TensorMap& tensors) { tensors["v_pred"] = at::zeros({0}); });
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource marked, file.Load());
  EXPECT_EQ(marked.denoiser->schedule.prediction_type, PredictionType::kVPrediction);
  EXPECT_FALSE(marked.denoiser->schedule.rescale_betas_zero_snr);
  file.Edit([](TensorMap& tensors) { tensors["ztsnr"] = at::zeros({0}); });
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource both, file.Load());
  EXPECT_TRUE(both.denoiser->schedule.rescale_betas_zero_snr);
  file.EditSidecar([](Json& json) { json["prediction_type"] = "epsilon"; });
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource said, file.Load());
  EXPECT_EQ(said.denoiser->schedule.prediction_type, PredictionType::kEpsilon);
}

TEST(SingleFileTest, NotesWhatItDoesNotRead) {
  const SingleFile file("sd1-like");
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource plain, file.Load());
  EXPECT_THAT(plain.notes, Each(Not(HasSubstr("not read"))));  // the decoder, position_ids
  file.Edit([](TensorMap& tensors) {
    tensors["model_ema.num_updates"] = at::ones({1}, at::kLong);
    tensors["model_ema.diffusion_modelinput_blocks00weight"] = at::ones({1});
    tensors["alphas_cumprod"] = at::ones({1000});
    tensors["model.diffusion_model.adapter.weight"] = at::ones({1});
  });
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource more, file.Load());
  EXPECT_THAT(more.notes, Contains("file: 1 tensors are not read, first "
                                   "model.diffusion_model.adapter.weight"));
}

TEST(SingleFileTest, TakesTheNamesOfOldTextEncoders) {
  const SingleFile file("sd1-like");
  file.Edit([](TensorMap& tensors) {
    TensorMap edited;
    for (const auto& [name, tensor] : tensors) {
      const size_t at = name.find("transformer.text_model.");
      edited[at == std::string::npos ? name : name.substr(0, at + 12) + name.substr(at + 23)] =
          tensor;
    }
    tensors = edited;
  });
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource old, file.Load());
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource now, SingleFile("sd1-like").Load());
  EXPECT_TRUE(Outputs(old)->equal(*Outputs(now)));
}

TEST(SingleFileTest, AVaeAloneIsAnEncoder) {
  const SingleFile file("sd1-like");
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource whole, file.Load());
  constexpr size_t kPrefix = sizeof("first_stage_model.") - 1;
  for (const bool bare : {false, true}) {
    file.Edit([bare](TensorMap& tensors) {
      TensorMap vae;
      for (const auto& [name, tensor] : tensors) {
        if (absl::StartsWith(name, "first_stage_model."))
          vae[bare ? name.substr(kPrefix) : name] = tensor;
      }
      tensors = vae;
    });
    AD_ASSERT_OK_AND_ASSIGN(const ModelSource alone, file.Load());
    EXPECT_EQ(alone.family, "encoder");
    EXPECT_FALSE(alone.denoiser.has_value());
    EXPECT_EQ(alone.encoder_digest, whole.encoder_digest);
  }
}

// SDXL's VAE has the same shapes and another factor.
TEST(SingleFileTest, NotesThatTheScalingOfAVaeAloneIsAGuess) {
  const SingleFile file("sd1-like");
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource whole, file.Load());
  EXPECT_THAT(whole.notes, Each(Not(HasSubstr("scaled"))));
  file.Edit([](TensorMap& tensors) {
    std::erase_if(tensors, [](const auto& tensor) {
      return !absl::StartsWith(tensor.first, "first_stage_model.");
    });
  });
  file.EditSidecar([](Json& json) { json["vae"].erase("scaling_factor"); });
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource alone, file.Load());
  EXPECT_EQ(std::get<VaeConfig>(alone.encoder_config).scaling_factor, 0.18215);
  EXPECT_THAT(alone.notes, ElementsAre("vae: scaled by 0.18215 as those of SD 1.x and 2.x (SDXL's "
                                       "by 0.13025; NAME.json: vae.scaling_factor)"));
  file.EditSidecar([](Json& json) { json["vae"]["scaling_factor"] = 0.13025; });
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource said, file.Load());
  EXPECT_EQ(std::get<VaeConfig>(said.encoder_config).scaling_factor, 0.13025);
  EXPECT_THAT(said.notes, testing::IsEmpty());
}

TEST(SingleFileTest, NamesWhatAFileIsInsteadOfAModel) {
  const std::pair<const char*, const char*> kOthers[] = {
      {"conditioner.embedders.0.model.ln_final.weight", "an SDXL refiner"},
      {"model.diffusion_model.joint_blocks.0.x", "a Stable Diffusion 3 model"},
      {"double_blocks.0.img_attn.proj.bias", "a FLUX model"},
      {"lora_unet_down_blocks_0.lora_up.weight", "a LoRA"},
      {"edm_vpred.sigma_max", "the EDM schedule"},
      {"control_model.time_embed.0.bias", "a ControlNet"},
      {"down_blocks.0.resnets.0.conv1.bias", "the diffusers layout"},
      {"x", "no checkpoint of a known layout"}};
  for (const auto& [name, kind] : kOthers) {
    const TempDir dir;
    WriteSafetensors(dir.File("m.safetensors"), {{name, at::ones(1)}});
    EXPECT_THAT(ReadModelSource(dir.File("m.safetensors"), {}),
                StatusIs(kFailedPrecondition, kind));
  }
  const auto without = [](const char* beginning) {
    const SingleFile file("sd1-like");
    file.Edit([beginning](TensorMap& tensors) {
      for (auto item = tensors.begin(); item != tensors.end();) {
        item = absl::StartsWith(item->first, beginning) ? tensors.erase(item) : ++item;
      }
    });
    return file.Load().status();
  };
  EXPECT_THAT(without("first_stage_model."), StatusIs(kFailedPrecondition, "without the VAE"));
  EXPECT_THAT(without("cond_stage_model."),
              StatusIs(kFailedPrecondition, "without the text encoder"));
}

// As some merges of SDXL do.
TEST(SingleFileTest, NamesTheProjectionThatIsMissing) {
  const SingleFile file("sdxl-like");
  file.Edit([](TensorMap& tensors) {
    EXPECT_EQ(tensors.erase("conditioner.embedders.1.model.text_projection"), 1U);
  });
  EXPECT_THAT(file.Load(),
              StatusIs(kDataLoss, "missing conditioner.embedders.1.model.text_projection"));
}

TEST(SingleFileTest, RefusesTensorsThatAreMissingOrMisshapen) {
  const SingleFile file("sd1-like");
  file.Edit([](TensorMap& tensors) {
    tensors.erase("model.diffusion_model.middle_block.0.in_layers.2.weight");
  });
  EXPECT_THAT(file.Load(), StatusIs(kDataLoss, "missing mid_block.resnets.0.conv1.weight"));
  for (const char* name :
       {"model.diffusion_model.input_blocks.0.0.weight",
        "model.diffusion_model.input_blocks.1.0.in_layers.2.weight",
        "first_stage_model.encoder.conv_out.weight",
        "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"}) {
    const SingleFile scalar("sd1-like");
    scalar.Edit([name](TensorMap& tensors) { tensors[name] = at::ones({}); });
    EXPECT_THAT(scalar.Load().status().code(), kDataLoss) << name;
  }
}

TEST(SingleFileTest, RefusesASidecarThatDoesNotAddUp) {
  for (const char* json :
       {"[]", "{", R"({"prediction_type": "sample"})", R"({"prediction_type": 3})",
        R"({"unet": {"norm_num_groups": -1}})", R"({"vae": {"norm_num_groups": "x"}})"}) {
    const SingleFile file("sd1-like");
    file.dir().Write("m.json", json);
    EXPECT_THAT(file.Load(), StatusIs(kDataLoss)) << json;
  }
}

// A1111's web UI keeps a model's card under the same name.
TEST(SingleFileTest, IgnoresWhatOtherProgramsSayInTheSidecar) {
  const SingleFile file("sd1-like");
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource plain, file.Load());
  file.EditSidecar([](Json& json) {
    json["description"] = "a model\x1b[31m";
    json["sd version"] = "SD1";
    json["preferred weight"] = 0.7;
    json["scheduler"] = "Euler a";
    json["text_encoder_2"] = Json::array();
    json["notes\n"] = {{"a", 1}};
  });
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource card, file.Load());
  EXPECT_THAT(card.notes, Contains("NAME.json: 6 keys have no meaning here, first description, "
                                   "notes\\n, preferred weight, scheduler, sd version"));
  EXPECT_TRUE(Outputs(card)->equal(*Outputs(plain)));
  // The groups that the tiny VAE has were said there, so that now 32 are assumed.
  file.EditSidecar([](Json& json) { json["vae"] = "some.vae.pt"; });
  EXPECT_THAT(file.Load(), StatusIs(kDataLoss, "norm_num_groups"));
}

TEST(SingleFileTest, AVaeOfAnotherKindThanTheFilesIsRefused) {
  const SingleFile file("sd1-like");
  file.EditSidecar([](Json& json) { json["vae"]["_class_name"] = "AutoencoderTiny"; });
  EXPECT_THAT(file.Load(), StatusIs(kFailedPrecondition, "_class_name"));
}

TEST(SingleFileTest, NeedsTheSharedTokenizersWhichMayLieBesideTheFile) {
  const SingleFile file("sd1-like");
  const std::string path = file.dir().File("m.safetensors");
  EXPECT_THAT(ReadModelSource(path, {}), IsOk());
  EXPECT_THAT(ReadModelSource(path, {.tokenizers = "/none"}),
              StatusIs(absl::StatusCode::kNotFound, "/none/clip"));
}

// The tokenizers that come with the project pad as the models they are for.
TEST(SingleFileTest, TheProjectsTokenizersAreThoseOfThePublishedModels) {
  const std::string folder = std::string(ANTIDIFFUSION_SOURCE_DIR) + "/models/tokenizers/";
  AD_ASSERT_OK_AND_ASSIGN(const auto clip, ClipTokenizer::Create(folder + "clip", 49408));
  EXPECT_THAT(clip->Encode("a photo", 6), ElementsAre(49406, 320, 1125, 49407, 49407, 49407));
  AD_ASSERT_OK_AND_ASSIGN(const auto open_clip, ClipTokenizer::Create(folder + "open_clip", 49408));
  EXPECT_THAT(open_clip->Encode("a photo", 6), ElementsAre(49406, 320, 1125, 49407, 0, 0));
}

}  // namespace
}  // namespace antidiffusion
