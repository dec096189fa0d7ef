#include "server/model_catalogue.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/errors.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

ModelInfo Info(const std::string& name, const std::string& device) {
  ModelInfo info;
  info.name = name;
  info.device = device;
  return info;
}

class RepositoryTest : public ::testing::Test {
 protected:
  RepositoryTest() {
    dir_.Write("beta/model_index.json", "{}");
    dir_.Write("alpha/model_index.json", "{}");
    dir_.Write("notes/readme.txt", "not a model");
    dir_.Write("notes.json", "{}");
  }
  TempDir dir_;
};

TEST_F(RepositoryTest, ListsFoldersWithAModelIndexByName) {
  AD_ASSERT_OK_AND_ASSIGN(const auto models, ScanModelRepository(dir_.path(), {}));
  ASSERT_EQ(models.size(), 2u);
  EXPECT_EQ(models[0].name, "alpha");
  EXPECT_EQ(models[0].directory, dir_.File("alpha"));
  EXPECT_EQ(models[1].name, "beta");
}

TEST_F(RepositoryTest, EncodersAndSingleFilesAreModelsToo) {
  dir_.Write("vae/config.json", "{}");
  dir_.Write("v1.5-pruned.safetensors", "");
  dir_.Write(".hidden.safetensors", "");
  dir_.Write(".safetensors", "");
  dir_.Write("folder.safetensors/readme.txt", "no file");
  AD_ASSERT_OK_AND_ASSIGN(const auto models, ScanModelRepository(dir_.path(), {}));
  ASSERT_EQ(models.size(), 4u);
  EXPECT_EQ(models[2].name, "v1.5-pruned");
  EXPECT_EQ(models[2].directory, dir_.File("v1.5-pruned.safetensors"));
  EXPECT_FALSE(models[2].is_encoder);
  EXPECT_EQ(models[3].name, "vae");
  EXPECT_TRUE(models[3].is_encoder);
  EXPECT_FALSE(models[0].is_encoder);
  AD_ASSERT_OK_AND_ASSIGN(const auto file, ScanModelRepository(dir_.path(), {"v1.5-pruned"}));
  EXPECT_EQ(file.size(), 1u);
}

TEST_F(RepositoryTest, ShardsAndNamesThatNoMessageCanHoldArePassedOver) {
  for (const char* name :
       {"x-00001-of-00002.safetensors", "x-00002-of-00002.safetensors", "a\xff.safetensors",
        "\xc3/model_index.json", "y-0001-of-0002.safetensors", "\xc3\xa9.safetensors"}) {
    dir_.Write(name, "");
  }
  AD_ASSERT_OK_AND_ASSIGN(const auto models, ScanModelRepository(dir_.path(), {}));
  std::vector<std::string> names;
  names.reserve(models.size());
  for (const ModelEntry& model : models) names.push_back(model.name);
  EXPECT_EQ(names, (std::vector<std::string>{"alpha", "beta", "y-0001-of-0002", "\xc3\xa9"}));
}

TEST_F(RepositoryTest, OneNameIsOneModel) {
  dir_.Write("beta.safetensors", "");
  EXPECT_THAT(ScanModelRepository(dir_.path(), {}),
              StatusIs(absl::StatusCode::kFailedPrecondition, "two models are called beta"));
  EXPECT_THAT(ScanModelRepository(dir_.path(), {"alpha"}), IsOk());
}

TEST_F(RepositoryTest, AModelIsNoRepository) {
  dir_.Write("vae/config.json", "{}");
  dir_.Write("one.safetensors", "");
  for (const char* model : {"alpha", "alpha/", "vae", "one.safetensors"}) {
    const auto scanned = ScanModelRepository(dir_.File(model), {});
    EXPECT_THAT(scanned, StatusIs(absl::StatusCode::kFailedPrecondition, "is itself a model"))
        << model;
    EXPECT_THAT(scanned, StatusIs(absl::StatusCode::kFailedPrecondition,
                                  "the folder that it is in, " + dir_.path() + ","))
        << model;
  }
}

TEST_F(RepositoryTest, TakesOnlyTheWanted) {
  AD_ASSERT_OK_AND_ASSIGN(const auto models, ScanModelRepository(dir_.path(), {"beta"}));
  ASSERT_EQ(models.size(), 1u);
  EXPECT_EQ(models[0].name, "beta");
}

TEST_F(RepositoryTest, SaysWhatIsMissing) {
  EXPECT_THAT(ScanModelRepository(dir_.path(), {"beta", "notes"}),
              StatusIs(absl::StatusCode::kNotFound, "notes"));
  EXPECT_THAT(ScanModelRepository(dir_.path(), {"../alpha"}),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(ScanModelRepository(dir_.File("none"), {}),
              StatusIs(absl::StatusCode::kNotFound, "none"));
  EXPECT_THAT(ScanModelRepository(dir_.File("notes"), {}),
              StatusIs(absl::StatusCode::kNotFound, "no model"));
}

TEST(ModelCatalogueTest, TheDefaultIsTheFirstOrTheChosenOne) {
  const std::vector<ModelEntry> models = {{"alpha", "a"}, {"beta", "b"}};
  EXPECT_EQ((*ModelCatalogue::Create(models, "", 1))->default_model(), "alpha");
  EXPECT_EQ((*ModelCatalogue::Create(models, "beta", 1))->default_model(), "beta");
  EXPECT_THAT(ModelCatalogue::Create(models, "gamma", 1), StatusIs(absl::StatusCode::kNotFound));
}

TEST(ModelCatalogueTest, AnEncoderIsTheDefaultOnlyWhereNothingElseIs) {
  const ModelEntry vae{"a-vae", "a", /*is_encoder=*/true};
  EXPECT_EQ((*ModelCatalogue::Create({vae, {"beta", "b"}}, "", 1))->default_model(), "beta");
  EXPECT_EQ((*ModelCatalogue::Create({vae, {"beta", "b"}}, "a-vae", 1))->default_model(), "a-vae");
  EXPECT_EQ((*ModelCatalogue::Create({vae}, "", 1))->default_model(), "a-vae");
}

TEST(ModelCatalogueTest, TellsWhatWasLoaded) {
  const auto catalogue = *ModelCatalogue::Create({{"alpha", "a"}}, "", 1);
  EXPECT_EQ(catalogue->InfoOf("alpha").name, "");
  EXPECT_EQ(catalogue->InfoOf("gamma").name, "");
  ModelInfo info = Info("alpha", "cpu");
  info.latent_channels = 16;
  info.digest = "abc";
  catalogue->Loaded(0, info);
  EXPECT_EQ(catalogue->InfoOf("alpha").latent_channels, 16);
  EXPECT_EQ(catalogue->InfoOf("alpha").digest, "abc");
}

TEST(ModelCatalogueTest, ReadyOnceLoadedOnEveryDevice) {
  const auto catalogue = *ModelCatalogue::Create({{"alpha", "a"}}, "", 2);
  EXPECT_THAT(catalogue->Check("alpha"), HasReason(reason::kModelLoading));
  catalogue->Loaded(0, Info("alpha", "cuda:0"));
  EXPECT_THAT(catalogue->Check("alpha"), HasReason(reason::kModelLoading));
  EXPECT_FALSE(catalogue->AnyReady());
  catalogue->Loaded(1, Info("alpha", "cuda:1"));
  EXPECT_THAT(catalogue->Check("alpha"), IsOk());
  EXPECT_TRUE(catalogue->AllReady());
  EXPECT_EQ(catalogue->List().front().devices, (std::vector<std::string>{"cuda:0", "cuda:1"}));
}

TEST(ModelCatalogueTest, FailedOnOneDeviceIsFailed) {
  const auto catalogue = *ModelCatalogue::Create({{"alpha", "a"}, {"beta", "b"}}, "", 2);
  catalogue->Loaded(0, Info("alpha", "cuda:0"));
  catalogue->Failed("alpha", "cuda:1", absl::DataLossError("a bad header"));
  EXPECT_THAT(catalogue->Check("alpha"), HasReason(reason::kModelFailed));
  EXPECT_THAT(catalogue->Check("alpha"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_NE(catalogue->List().front().message.find("a bad header"), std::string::npos);
  catalogue->Loaded(0, Info("beta", "cuda:0"));
  catalogue->Loaded(1, Info("beta", "cuda:1"));
  EXPECT_TRUE(catalogue->AnyReady());
  EXPECT_FALSE(catalogue->AllReady());
}

TEST(ModelCatalogueTest, OnceReadyOneDeviceIsEnough) {
  const auto catalogue = *ModelCatalogue::Create({{"alpha", "a"}}, "", 2);
  catalogue->Loaded(0, Info("alpha", "cpu"));
  catalogue->Lost(0);
  catalogue->Loaded(1, Info("alpha", "cpu"));
  EXPECT_FALSE(catalogue->AnyReady()) << "never on both so far";
  catalogue->Loaded(0, Info("alpha", "cpu"));
  EXPECT_EQ(catalogue->List().front().devices, (std::vector<std::string>{"cpu", "cpu"}));
  catalogue->Lost(1);
  EXPECT_TRUE(catalogue->AllReady());
  catalogue->Lost(0);
  EXPECT_THAT(catalogue->Check("alpha"), HasReason(reason::kModelLoading));
  EXPECT_TRUE(catalogue->List().front().devices.empty());
  catalogue->Loaded(1, Info("alpha", "cpu"));
  EXPECT_THAT(catalogue->Check("alpha"), IsOk());
}

ModelStatus Elsewhere(const std::string& name, const std::string& device) {
  ModelStatus status{name, ModelState::kReady, "", Info(name, device), {device}};
  status.info.digest = "of " + device;
  return status;
}

TEST(ModelCatalogueTest, WhatAnotherServerHasIsReadyWhileThatHasIt) {
  const auto catalogue = *ModelCatalogue::Create({{"alpha", "a"}}, "", 1);
  EXPECT_THAT(catalogue->Check("beta"), HasReason(reason::kModelNotFound));
  catalogue->SetElsewhere({Elsewhere("alpha", "cuda:0"), Elsewhere("beta", "cuda:1")}, "beta");
  EXPECT_THAT(catalogue->Check("alpha"), IsOk());
  EXPECT_THAT(catalogue->Check("beta"), IsOk());
  EXPECT_EQ(catalogue->InfoOf("beta").digest, "of cuda:1");
  EXPECT_EQ(catalogue->default_model(), "alpha") << "its own";
  EXPECT_TRUE(catalogue->Own()[0].devices.empty());
  catalogue->Loaded(0, Info("alpha", "cpu"));
  EXPECT_EQ(catalogue->List().front().devices, (std::vector<std::string>{"cpu", "cuda:0"}));
  EXPECT_EQ(catalogue->Own()[0].devices.size(), 1u);
  catalogue->SetElsewhere({}, "");
  EXPECT_THAT(catalogue->Check("alpha"), IsOk());
  EXPECT_THAT(catalogue->Check("beta"), HasReason(reason::kModelLoading)) << "it may come back";
}

TEST(ModelCatalogueTest, WithoutARepositoryAllModelsAreOthers) {
  const auto catalogue = *ModelCatalogue::Create({}, "", 0);
  EXPECT_TRUE(catalogue->AllReady());
  EXPECT_TRUE(catalogue->AnyReady());
  EXPECT_THAT(catalogue->Check("alpha"), HasReason(reason::kModelLoading));
  catalogue->SetElsewhere({Elsewhere("alpha", "cuda:0")}, "alpha");
  EXPECT_EQ(catalogue->default_model(), "alpha");
  EXPECT_THAT(catalogue->Check("alpha"), IsOk());
  EXPECT_THAT(catalogue->Check("beta"), HasReason(reason::kModelNotFound));
}

TEST(ModelCatalogueTest, UnknownNamesAreNotFound) {
  const auto catalogue = *ModelCatalogue::Create({{"alpha", "a"}}, "", 1);
  for (const char* name : {"gamma", "../alpha", "alpha/", ""}) {
    EXPECT_THAT(catalogue->Check(name), StatusIs(absl::StatusCode::kNotFound)) << name;
  }
}

}  // namespace
}  // namespace antidiffusion
