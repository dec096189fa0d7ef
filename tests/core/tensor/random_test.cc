#include "core/tensor/random.h"

#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace antidiffusion {
namespace {

// What PyTorch 2.11 draws in Python:
//   torch.manual_seed(seed); a = torch.randn(2, 3); b = torch.randint(0, 1000, (1,))
//   c = torch.randn(1, 4, 8, 8); d = torch.empty(2, 2).uniform_(-0.05, 0.05)
//   e = torch.randint(0, 1000, (1,)); u = torch.empty(1, 3, 8, 8).uniform_(0, 1)
// Fewer than 16 normal numbers are drawn one by one, more in blocks: both ways are here.
struct Draws {
  uint64_t seed;
  std::vector<float> a;
  int64_t b;
  std::vector<float> c_first, c_last;
  double c_sum;
  std::vector<float> d;
  int64_t e;
  std::vector<float> u_first;
  double u_sum;
};

std::vector<Draws> Recorded() {
  return {
      {0,
       {1.5409960746765137F, -0.293428897857666F, -2.1787893772125244F, 0.5684312582015991F,
        -1.0845223665237427F, -1.3985954523086548F},
       756,
       {0.5238832831382751F, -0.6658713221549988F, 0.8503773808479309F, -1.3526537418365479F},
       {-0.4828483462333679F, -0.3660986125469208F},
       -7.234608679718804,
       {0.013594609685242176F, -0.023657267913222313F, -0.023503869771957397F,
        -0.04727345332503319F},
       678,
       {0.21940875053405762F, 0.054212093353271484F},
       99.5859727859497},
      {1234,
       {0.0461304634809494F, 0.4024028182029724F, -1.0115290880203247F, 0.2167382389307022F,
        -0.612273097038269F, 0.5036107301712036F},
       954,
       {-0.6207640767097473F, -0.02416170760989189F, -1.040229320526123F, 0.7988325953483582F},
       {1.5695850849151611F, 1.5389400720596313F},
       1.1154920461995061,
       {-0.006842756178230047F, -0.019057143479585648F, 0.03840723633766174F,
        0.013138062320649624F},
       151,
       {0.951455295085907F, 0.5817210078239441F},
       100.65137416124344},
      // Torch seeds its Mersenne twister with the lower 32 bits: as seed 5.
      {(uint64_t{1} << 63) + 5,
       {-0.4867807626724243F, -0.6038215756416321F, -0.5580962300300598F, 0.6675242781639099F,
        -0.19741509854793549F, 1.9427834749221802F},
       211,
       {-0.10570163279771805F, 1.532913088798523F, 0.28736117482185364F, 2.779863119125366F},
       {0.010821308009326458F, 0.9781356453895569F},
       33.77989915222861,
       {0.037923138588666916F, 0.047956403344869614F, 0.00994179304689169F, 0.027803916484117508F},
       598,
       {0.7910248041152954F, 0.10905414819717407F},
       95.5607613325119},
  };
}

// The vector instructions of another processor may round the last bits of a logarithm otherwise.
constexpr float kTolerance = 2e-6F;

void ExpectNear(const at::Tensor& flat, int64_t first, const std::vector<float>& expected) {
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(flat[first + static_cast<int64_t>(i)].item<float>(), expected[i], kTolerance);
  }
}

TEST(RandomTest, DrawsWhatPythonDraws) {
  for (const Draws& expected : Recorded()) {
    SCOPED_TRACE(expected.seed);
    Random random(expected.seed);
    const at::Tensor a = random.Normal({2, 3});
    ExpectNear(a.flatten(), 0, expected.a);
    const at::Tensor b = random.Timestep(1000);
    EXPECT_EQ(b.item<int64_t>(), expected.b);
    const at::Tensor c = random.Normal({1, 4, 8, 8});
    ExpectNear(c.flatten(), 0, expected.c_first);
    ExpectNear(c.flatten(), 254, expected.c_last);
    EXPECT_NEAR(c.to(at::kDouble).sum().item<double>(), expected.c_sum, 1e-4);
    ExpectNear(random.Uniform({2, 2}, -0.05, 0.05).flatten(), 0, expected.d);
    EXPECT_EQ(random.Timestep(1000).item<int64_t>(), expected.e);
    const at::Tensor u = random.Uniform({1, 3, 8, 8}, 0, 1);
    ExpectNear(u.flatten(), 0, expected.u_first);
    EXPECT_NEAR(u.to(at::kDouble).sum().item<double>(), expected.u_sum, 1e-4);
  }
}

TEST(RandomTest, ShapesAndTypes) {
  Random random(3);
  const at::Tensor normal = random.Normal({1, 4, 2, 3});
  EXPECT_EQ(normal.sizes(), (std::vector<int64_t>{1, 4, 2, 3}));
  EXPECT_EQ(normal.scalar_type(), at::kFloat);
  EXPECT_TRUE(normal.device().is_cpu());
  const at::Tensor timestep = random.Timestep(7);
  EXPECT_EQ(timestep.sizes(), (std::vector<int64_t>{1}));
  EXPECT_EQ(timestep.scalar_type(), at::kLong);
}

TEST(RandomTest, GeneratorsAreIndependent) {
  Random first(11), second(11), other(12);
  first.Normal({100});
  EXPECT_TRUE(at::equal(Random(11).Normal({20}), second.Normal({20})));
  EXPECT_FALSE(at::equal(Random(11).Normal({20}), other.Normal({20})));
}

TEST(RandomTest, TimestepsStayBelowTheLimit) {
  Random random(1);
  for (int i = 0; i < 200; ++i) {
    const int64_t t = random.Timestep(3).item<int64_t>();
    EXPECT_GE(t, 0);
    EXPECT_LT(t, 3);
  }
}

}  // namespace
}  // namespace antidiffusion
