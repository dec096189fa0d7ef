#include "core/checkpoint/tensor_source.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>

#include "core/checkpoint/load_module.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/checkpoint/safetensors_writer.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

using ::testing::ElementsAre;

class TensorSourceTest : public testing::Test {
 protected:
  const SafetensorsFile& Open(const TensorMap& tensors) {
    const std::string path = dir_.File(std::to_string(files_.size()));
    WriteSafetensors(path, tensors);
    std::vector<SafetensorsFile> one;
    one.push_back(SafetensorsFile::Open(path).value());
    files_.push_back(std::move(one));
    return files_.back().front();
  }

  std::string Digest(const TensorMap& tensors, const LoadRules& rules = {}) {
    Open(tensors);
    return DigestOfTensors(CollectSources(files_.back(), rules).value()).value();
  }

  const TempDir dir_;
  std::vector<std::vector<SafetensorsFile>> files_;
};

TEST_F(TensorSourceTest, GivesRowsAndTransposes) {
  const at::Tensor matrix = at::arange(12, c10::kFloat).view({6, 2});
  const SafetensorsFile& file = Open({{"m", matrix}, {"v", at::arange(6, c10::kFloat)}});
  const TensorSource rows{.file = &file, .name = "m", .first_row = 2, .rows = 2};
  EXPECT_THAT(rows.Shape().value(), ElementsAre(2, 2));
  EXPECT_TRUE(rows.Read()->equal(matrix.narrow(0, 2, 2)));
  const TensorSource bias{.file = &file, .name = "v", .first_row = 4, .rows = 2};
  EXPECT_TRUE(bias.Read()->equal(at::arange(4, 6, c10::kFloat)));
  const TensorSource transposed{.file = &file, .name = "m", .transposed = true};
  EXPECT_THAT(transposed.Shape().value(), ElementsAre(2, 6));
  EXPECT_TRUE(transposed.Read()->equal(matrix.t()));
  EXPECT_TRUE(transposed.Read()->is_contiguous());
}

TEST_F(TensorSourceTest, RefusesRowsAndTransposesThatAreNotThere) {
  const SafetensorsFile& file =
      Open({{"m", at::ones({6, 2})}, {"v", at::ones(6)}, {"s", at::ones({})}});
  for (const auto& [first, rows] : {std::pair<int64_t, int64_t>(5, 2), {6, 1}, {0, 7}}) {
    const TensorSource source{.file = &file, .name = "m", .first_row = first, .rows = rows};
    EXPECT_THAT(source.Shape(), StatusIs(kDataLoss, "has no rows"));
    EXPECT_THAT(source.Read(), StatusIs(kDataLoss, "has no rows"));
  }
  const TensorSource scalar{.file = &file, .name = "s", .first_row = 0, .rows = 1};
  EXPECT_THAT(scalar.Read(), StatusIs(kDataLoss, "has no rows"));
  const TensorSource vector{.file = &file, .name = "v", .transposed = true};
  EXPECT_THAT(vector.Read(), StatusIs(kDataLoss, "is no matrix"));
  const TensorSource missing{.file = &file, .name = "x"};
  EXPECT_THAT(missing.Read(), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(TensorSourceTest, TheDigestIsThatOfNamesShapesAndNumbers) {
  const at::Tensor value = at::arange(6, c10::kFloat);
  const std::string digest = Digest({{"to_q.w", value.view({2, 3})}});
  EXPECT_EQ(digest.size(), 64U);
  LoadRules rules;
  rules.renamed_parts = {{"query", "to_q"}};
  rules.accept_pointwise_convolutions = true;
  EXPECT_EQ(Digest({{"to_q.w", value.view({2, 3}).to(c10::kHalf)}}), digest);
  EXPECT_EQ(Digest({{"query.w", value.view({2, 3, 1, 1})}}, rules), digest);
  EXPECT_NE(Digest({{"to_k.w", value.view({2, 3})}}), digest);
  EXPECT_NE(Digest({{"to_q.w", value.view({3, 2})}}), digest);
  EXPECT_NE(Digest({{"to_q.w", value.view({2, 3}).add(1)}}), digest);
}

}  // namespace
}  // namespace antidiffusion
