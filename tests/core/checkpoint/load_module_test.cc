#include "core/checkpoint/load_module.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <torch/nn/module.h>

#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/checkpoint/safetensors_writer.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// A module of parameters with given names (dots would need submodules) and shapes, all zero.
class Plain : public torch::nn::Module {
 public:
  Plain(const std::vector<std::pair<std::string, std::vector<int64_t>>>& parameters,
        c10::ScalarType type = c10::kFloat, c10::DeviceType device = c10::kCPU) {
    for (const auto& [name, shape] : parameters) {
      register_parameter(name, at::zeros(shape, at::TensorOptions().dtype(type).device(device)));
    }
  }
};

// `attention.to_q.weight` and `attention.to_out.0.weight`, as in a VAE.
class Attention : public torch::nn::Module {
 public:
  Attention() {
    attention_ = register_module("attention", std::make_shared<torch::nn::Module>());
    attention_->register_module("to_q", std::make_shared<Plain>(Shape()));
    const auto to_out =
        attention_->register_module("to_out", std::make_shared<torch::nn::Module>());
    to_out->register_module("0", std::make_shared<Plain>(Shape()));
  }

 private:
  static std::vector<std::pair<std::string, std::vector<int64_t>>> Shape() {
    return {{"weight", {2, 3}}};
  }
  std::shared_ptr<torch::nn::Module> attention_;
};

class LoadModuleTest : public testing::Test {
 protected:
  // Each map becomes one shard.
  absl::Status Load(const std::vector<TensorMap>& shards, torch::nn::Module& module,
                    const LoadRules& rules = {}) {
    std::vector<SafetensorsFile> files;
    for (size_t i = 0; i < shards.size(); ++i) {
      const std::string path = dir_.File("shard" + std::to_string(i));
      WriteSafetensors(path, shards[i]);
      AD_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::Open(path));
      files.push_back(std::move(file));
    }
    return LoadParameters(files, module, rules);
  }

  const TempDir dir_;
};

TEST_F(LoadModuleTest, ConvertsEveryFloatingDtype) {
  const at::Tensor value = at::arange(6).view({2, 3}).to(c10::kFloat) / 4 - 1;  // exact in bf16
  for (const c10::ScalarType type : {c10::kDouble, c10::kFloat, c10::kHalf, c10::kBFloat16}) {
    for (const c10::ScalarType wanted : {c10::kFloat, c10::kBFloat16}) {
      Plain module({{"w", {2, 3}}}, wanted);
      ASSERT_THAT(Load({{{"w", value.to(type)}}}, module), IsOk());
      const at::Tensor parameter = module.named_parameters()["w"];
      EXPECT_EQ(parameter.scalar_type(), wanted);
      EXPECT_TRUE(parameter.equal(value.to(wanted)));
      EXPECT_TRUE(parameter.requires_grad() && parameter.is_leaf());
    }
  }
}

TEST_F(LoadModuleTest, TakesShards) {
  Plain module({{"a", {1}}, {"b", {2}}});
  ASSERT_THAT(Load({{{"b", at::ones(2)}}, {{"a", at::full({1}, 3.0)}}}, module), IsOk());
  EXPECT_TRUE(module.named_parameters()["a"].equal(at::full({1}, 3.0)));
  EXPECT_TRUE(module.named_parameters()["b"].equal(at::ones(2)));
  EXPECT_THAT(Load({{{"b", at::ones(2)}}, {{"a", at::ones(1)}, {"b", at::ones(2)}}}, module),
              StatusIs(kDataLoss, "\"b\" is there twice"));
}

TEST_F(LoadModuleTest, NamesMissingSurplusAndMisshapenKeysInOneErrorAndWritesNothing) {
  Plain module({{"fits", {1}}, {"m1", {1}}, {"m2", {2}}, {"shape", {2, 3}}});
  const absl::Status status =
      Load({{{"fits", at::ones(1)}, {"s1", at::ones(1)}, {"shape", at::ones({3, 2})}}}, module);
  EXPECT_THAT(status, StatusIs(kDataLoss, "2 keys missing, 1 surplus, 1 misshapen; first 4"));
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("missing m1"), HasSubstr("missing m2"), HasSubstr("surplus s1"),
                    HasSubstr("misshapen shape [3,2] instead of [2,3]"), HasSubstr("shard0")));
  EXPECT_TRUE(module.named_parameters()["fits"].equal(at::zeros(1)));
}

TEST_F(LoadModuleTest, NamesTheFirstTenKeysAtMost) {
  std::vector<std::pair<std::string, std::vector<int64_t>>> parameters;
  for (char c = 'a'; c <= 'o'; ++c) parameters.push_back({std::string("key_") + c, {1}});
  Plain module(parameters);
  const absl::Status status = Load({{{"other", at::ones(1)}}}, module);
  EXPECT_THAT(status, StatusIs(kDataLoss, "15 keys missing, 1 surplus, 0 misshapen; first 10"));
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("missing key_a"), HasSubstr("missing key_j"),
                    Not(HasSubstr("missing key_k")), Not(HasSubstr("other"))));
}

TEST_F(LoadModuleTest, RefusesWeightsThatAreNotFinite) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const double bad : {kInfinity, -kInfinity, std::nan("")}) {
    for (const c10::ScalarType type : {c10::kFloat, c10::kHalf, c10::kBFloat16}) {
      at::Tensor weights = at::ones({3, 5}, type);
      weights[1][2] = bad;
      Plain module({{"fits", {1}}, {"w", {3, 5}}});
      EXPECT_THAT(Load({{{"fits", at::ones(1)}, {"w", weights}}}, module),
                  StatusIs(kDataLoss, "\"w\" holds a weight that is not finite"));
    }
  }
  // Finite in the file, but not in the parameter.
  Plain module({{"w", {1}}});
  EXPECT_THAT(Load({{{"w", at::full({1}, 1e300, c10::kDouble)}}}, module), StatusIs(kDataLoss));
}

TEST_F(LoadModuleTest, RefusesIntegersAsWeights) {
  Plain module({{"w", {2}}});
  EXPECT_THAT(Load({{{"w", at::ones(2, c10::kLong)}}}, module), StatusIs(kDataLoss, "integers"));
}

TEST_F(LoadModuleTest, TakesAnEmptyParameterAndAScalar) {
  Plain module({{"empty", {0, 3}}, {"scalar", {}}});
  ASSERT_THAT(Load({{{"empty", at::zeros({0, 3})}, {"scalar", at::full({}, 2.0)}}}, module),
              IsOk());
  EXPECT_EQ(module.named_parameters()["scalar"].item<float>(), 2.0F);
}

TEST_F(LoadModuleTest, RenamesPartsOfNames) {
  const LoadRules rules = {.renamed_parts = {{"query", "to_q"}, {"proj_attn", "to_out.0"}}};
  const TensorMap old_names = {{"attention.query.weight", at::ones({2, 3})},
                               {"attention.proj_attn.weight", at::full({2, 3}, 2.0)}};
  Attention module;
  ASSERT_THAT(Load({old_names}, module, rules), IsOk());
  EXPECT_TRUE(module.named_parameters()["attention.to_q.weight"].equal(at::ones({2, 3})));
  EXPECT_TRUE(module.named_parameters()["attention.to_out.0.weight"].equal(at::full({2, 3}, 2.0)));

  EXPECT_THAT(Load({old_names}, module), StatusIs(kDataLoss, "2 keys missing, 2 surplus"));
  TensorMap both = old_names;
  both["attention.to_q.weight"] = at::ones({2, 3});
  EXPECT_THAT(Load({both}, module, rules), StatusIs(kDataLoss, "twice"));
}

TEST_F(LoadModuleTest, TakesPointwiseConvolutionsOnlyWhereAsked) {
  const at::Tensor value = at::arange(6, c10::kFloat).view({2, 3, 1, 1});
  const LoadRules pointwise = {.accept_pointwise_convolutions = true};
  Plain module({{"w", {2, 3}}, {"b", {2}}});
  const TensorMap tensors = {{"w", value}, {"b", at::ones(2)}};
  EXPECT_THAT(Load({tensors}, module), StatusIs(kDataLoss, "misshapen w [2,3,1,1]"));
  ASSERT_THAT(Load({tensors}, module, pointwise), IsOk());
  EXPECT_TRUE(module.named_parameters()["w"].equal(value.view({2, 3})));
  EXPECT_THAT(Load({{{"w", value.view({1, 1, 2, 3})}, {"b", at::ones(2)}}}, module, pointwise),
              StatusIs(kDataLoss, "misshapen w"));
}

TEST_F(LoadModuleTest, IgnoresKeysByTheirBeginning) {
  Plain module({{"w", {1}}});
  const TensorMap tensors = {
      {"w", at::ones(1)}, {"decoder.a", at::ones(2)}, {"decoder.b", at::ones(3)}};
  EXPECT_THAT(Load({tensors}, module), StatusIs(kDataLoss, "2 surplus"));
  EXPECT_THAT(Load({tensors}, module, {.ignored_prefixes = {"decoder."}}), IsOk());
}

// What a loader does before it allocates a network.
TEST_F(LoadModuleTest, ComparesWithAModuleOnTheMetaDevice) {
  const int64_t huge = int64_t{1} << 40;  // 4 TiB
  Plain module({{"w", {huge}}}, c10::kFloat, c10::kMeta);
  WriteSafetensors(dir_.File("f"), {{"w", at::ones(3)}, {"x", at::ones(1)}});
  std::vector<SafetensorsFile> files;
  AD_ASSERT_OK_AND_ASSIGN(SafetensorsFile file, SafetensorsFile::Open(dir_.File("f")));
  files.push_back(std::move(file));
  AD_ASSERT_OK_AND_ASSIGN(const TensorSources sources, CollectSources(files));
  EXPECT_THAT(CheckParameters(sources, module),
              StatusIs(kDataLoss, "misshapen w [3] instead of [1099511627776]"));
  std::vector<std::string> surplus;
  const Plain fitting({{"w", {3}}}, c10::kFloat, c10::kMeta);
  EXPECT_THAT(CheckParameters(sources, fitting), StatusIs(kDataLoss, "1 surplus"));
  EXPECT_THAT(CheckParameters(sources, fitting, &surplus), IsOk());
  EXPECT_THAT(surplus, testing::ElementsAre("x"));
}

TEST_F(LoadModuleTest, RefusesFp8BeforeReading) {
  const std::string header = R"({"w":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}})";
  dir_.Write("f", RawSafetensorsBytes(header, "xy"));
  std::vector<SafetensorsFile> files;
  AD_ASSERT_OK_AND_ASSIGN(SafetensorsFile file, SafetensorsFile::Open(dir_.File("f")));
  files.push_back(std::move(file));
  Plain module({{"w", {2}}});
  EXPECT_THAT(LoadParameters(files, module),
              StatusIs(absl::StatusCode::kFailedPrecondition, "\"w\" is stored as F8_E4M3"));
}

TEST_F(LoadModuleTest, IgnoresNamedKeysOnly) {
  Plain module({{"w", {1}}});
  const TensorMap tensors = {{"w", at::ones(1)}, {"position_ids", at::arange(77).view({1, 77})}};
  EXPECT_THAT(Load({tensors}, module), StatusIs(kDataLoss, "surplus position_ids"));
  EXPECT_THAT(Load({tensors}, module, {.ignored = {"position_ids"}}), IsOk());
}

}  // namespace
}  // namespace antidiffusion
