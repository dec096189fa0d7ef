#include "core/surrogate/activation_memory.h"

#include <cmath>
#include <string>

namespace antidiffusion {
namespace {

constexpr double kFloatBytes = 4;
// A residual block keeps the inputs of two norms, two activations and two convolutions.
constexpr double kResnetTensors = 6;
// A block of a tiny encoder has three convolutions and a sum.
constexpr double kTinyBlockTensors = 4;
// A transformer block keeps about as many tensors of its width: around both attentions and in the
// gated feed-forward. (PyTorch's saved tensors of SD 2.1, with the two constants above: 12.3 KB a
// pixel of its VAE's encoder, 5.3 KB of its UNet.)
constexpr double kTransformerTensors = 24;
// Gradients and buffers of the layer under way, in tensors of the widest level.
constexpr double kTensorsUnderWay = 4;

// The share of pixels that a level sees: each halves both sides.
double Share(size_t level) { return std::pow(0.25, static_cast<double>(level)); }

bool HasAttention(const std::string& block_type) {
  return block_type.find("CrossAttn") != std::string::npos;
}

}  // namespace

double ActivationBytesPerPixel(const VaeConfig& config) {
  double tensors = kTensorsUnderWay * static_cast<double>(config.block_out_channels.front());
  double in = static_cast<double>(config.block_out_channels.front());
  for (size_t level = 0; level < config.block_out_channels.size(); ++level) {
    const auto width = static_cast<double>(config.block_out_channels[level]);
    const double first = kResnetTensors / 2 * (in + width);
    const double others = kResnetTensors * width * static_cast<double>(config.layers_per_block - 1);
    tensors += Share(level) * (first + others + width);
    in = width;
  }
  // The mid block: two residual blocks and an attention.
  tensors += Share(config.block_out_channels.size() - 1) * 3 * kResnetTensors * in;
  return kFloatBytes * tensors;
}

double ActivationBytesPerPixel(const TinyVaeConfig& config) {
  double tensors = kTensorsUnderWay;
  for (size_t level = 0; level < config.num_blocks.size(); ++level) {
    // One more for the convolution that enters the level.
    tensors +=
        Share(level) * (kTinyBlockTensors * static_cast<double>(config.num_blocks[level]) + 1);
  }
  return kFloatBytes * tensors * static_cast<double>(config.channels);
}

double ActivationBytesPerPixel(const UNetConfig& config, int64_t pixels_a_side_of_a_cell) {
  const size_t levels = config.block_out_channels.size();
  double tensors = kTensorsUnderWay * static_cast<double>(config.block_out_channels.front());
  for (size_t level = 0; level < levels; ++level) {
    const auto width = static_cast<double>(config.block_out_channels[level]);
    const auto layers = static_cast<double>(config.layers_per_block[level]);
    const auto depth = static_cast<double>(config.transformer_layers[level]);
    // Up blocks have one layer more, and see twice the width.
    double kept = kResnetTensors * width * (layers + 1.5 * (layers + 1));
    if (HasAttention(config.down_block_types[level])) {
      kept += kTransformerTensors * depth * width * (2 * layers + 1);
    }
    tensors += Share(level) * kept;
  }
  if (config.has_mid_block) {
    const auto width = static_cast<double>(config.block_out_channels.back());
    const auto depth = static_cast<double>(config.transformer_layers.back());
    tensors += Share(levels - 1) * (2 * kResnetTensors + depth * kTransformerTensors) * width;
  }
  const auto cell = static_cast<double>(pixels_a_side_of_a_cell);
  return kFloatBytes * tensors / (cell * cell);
}

}  // namespace antidiffusion
