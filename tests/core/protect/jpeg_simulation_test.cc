#include "core/protect/jpeg_simulation.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <vector>

#include "core/image/image.h"
#include "core/tensor/image_tensor.h"
#include "tests/testing/synthetic_image.h"

namespace antidiffusion {
namespace {

// A real encoder (libjpeg's, by OpenCV) with 4:2:0, and what a decoder makes of its bytes.
at::Tensor ThroughRealJpeg(const at::Tensor& image, int quality) {
  Image bytes = TensorToImage(image);
  cv::Mat rgb(bytes.height, bytes.width, CV_8UC3, bytes.pixels.data());
  cv::Mat bgr;
  cv::cvtColor(rgb, bgr, cv::COLOR_RGB2BGR);
  std::vector<uint8_t> encoded;
  cv::imencode(".jpg", bgr, encoded, {cv::IMWRITE_JPEG_QUALITY, quality});
  cv::cvtColor(cv::imdecode(encoded, cv::IMREAD_COLOR), rgb, cv::COLOR_BGR2RGB);
  Image decoded{rgb.cols, rgb.rows, 3, {rgb.datastart, rgb.dataend}};
  return ImageToTensor(decoded);
}

double Levels(const at::Tensor& difference) {
  return (difference * 127.5).abs().mean().item<double>();
}

class JpegSimulationTest : public testing::TestWithParam<int> {
 protected:
  const at::Tensor image_ = ImageToTensor(SyntheticImage(72, 56));  // no multiple of 16
};

TEST_P(JpegSimulationTest, LeavesWhatARealEncoderLeaves) {
  const at::Tensor real = ThroughRealJpeg(image_, GetParam());
  const at::Tensor simulated = SimulateJpeg(image_, GetParam());
  ASSERT_EQ(simulated.sizes(), image_.sizes());
  const double lost = Levels(real - image_);
  ASSERT_GT(lost, 0.2);
  // The decoder smooths chroma when it doubles it, the simulation does not.
  EXPECT_LT(Levels(simulated - real), 0.5 * lost + 0.5);
}

INSTANTIATE_TEST_SUITE_P(Qualities, JpegSimulationTest, testing::Values(50, 75, 90));

TEST(JpegSimulationGradientTest, PassesThroughRoundingAndNotThroughHalvedChroma) {
  at::Tensor image = ImageToTensor(SyntheticImage(64, 64)).requires_grad_(true);
  // Luma's gradient comes back whole: the sum over a picture of what the DCT passes on.
  SimulateJpeg(image, 50).sum().backward();
  EXPECT_NEAR(image.grad().mean().item<double>(), 1, 1e-3);

  // A chroma pattern that alternates from pixel to pixel vanishes, and so does its gradient.
  image.mutable_grad() = at::Tensor();
  const at::Tensor row = at::arange(64).remainder(2).mul(2).sub(1).to(at::kFloat);
  const at::Tensor weights = at::tensor({0.0, -0.344136, 1.772}).view({1, 3, 1, 1}) * row;
  (SimulateJpeg(image, 50) * weights).sum().backward();
  const at::Tensor along = (image.grad() * weights).sum() / weights.square().sum();
  EXPECT_LT(along.abs().item<double>(), 0.2);
}

}  // namespace
}  // namespace antidiffusion
