#include "core/surrogate/activation_memory.h"

#include <algorithm>
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
// gated feed-forward. With the two constants above that gives 12.1 KB a pixel for SD 2.1's VAE
// encoder, whose saved tensors were counted as 12.3 KB on the meta device, and 5.4 KB for its UNet.
constexpr double kTransformerTensors = 24;
// Norm and projections around a transformer's blocks, which are not recomputed.
constexpr double kTransformerEnds = 4;
// Gradients and buffers of the layer under way, in tensors of the widest level.
constexpr double kTensorsUnderWay = 4;

// The share of pixels that a level sees: each halves both sides.
double Share(size_t level) { return std::pow(0.25, static_cast<double>(level)); }

bool HasAttention(const std::string& block_type) {
  return block_type.find("CrossAttn") != std::string::npos;
}

// Of numbers of values. A small network may hold no less by recomputing.
ActivationBytes Bytes(double a_value, double kept, double held, double under_way) {
  held = std::min(held, kept);
  return {a_value * kept, a_value * held, a_value * std::min(under_way, kept - held)};
}

}  // namespace

ActivationBytes ActivationBytesOf(const VaeConfig& config) {
  const auto entry = static_cast<double>(config.block_out_channels.front());
  double kept = kTensorsUnderWay * entry;
  double held = 0;
  const double under_way = (kTensorsUnderWay + kResnetTensors) * entry;  // with the largest block
  double in = entry;
  for (size_t level = 0; level < config.block_out_channels.size(); ++level) {
    const auto width = static_cast<double>(config.block_out_channels[level]);
    const auto others = static_cast<double>(config.layers_per_block - 1);
    const double first = kResnetTensors / 2 * (in + width);
    kept += Share(level) * (first + kResnetTensors * width * others + width);
    held += Share(level) * (in + width * others + width);
    in = width;
  }
  // The mid block: two residual blocks and an attention.
  const double share = Share(config.block_out_channels.size() - 1);
  kept += share * 3 * kResnetTensors * in;
  held += share * (2 + kResnetTensors) * in;
  return Bytes(kFloatBytes, kept, held, under_way);
}

ActivationBytes ActivationBytesOf(const TinyVaeConfig& config) {
  double tensors = kTensorsUnderWay;
  for (size_t level = 0; level < config.num_blocks.size(); ++level) {
    // One more for the convolution that enters the level.
    tensors +=
        Share(level) * (kTinyBlockTensors * static_cast<double>(config.num_blocks[level]) + 1);
  }
  // Does not recompute.
  return Bytes(kFloatBytes * static_cast<double>(config.channels), tensors, tensors, 0);
}

ActivationBytes ActivationBytesOf(const UNetConfig& config, int64_t pixels_a_side_of_a_cell) {
  const size_t levels = config.block_out_channels.size();
  const auto entry = static_cast<double>(config.block_out_channels.front());
  double kept = kTensorsUnderWay * entry;
  double held = 0;
  double largest = 0;  // of the blocks that are recomputed
  for (size_t level = 0; level < levels; ++level) {
    const auto width = static_cast<double>(config.block_out_channels[level]);
    const auto layers = static_cast<double>(config.layers_per_block[level]);
    const auto depth = static_cast<double>(config.transformer_layers[level]);
    // Up blocks have one layer more, and see twice the width.
    const double resnets = width * (layers + 1.5 * (layers + 1));
    const double transformers =
        HasAttention(config.down_block_types[level]) ? width * (2 * layers + 1) : 0;
    const double blocks = depth * transformers;
    kept += Share(level) * (kResnetTensors * resnets + kTransformerTensors * blocks);
    held += Share(level) * (resnets + blocks + kTransformerEnds * transformers);
    largest = std::max(
        largest, Share(level) * width * (blocks > 0 ? kTransformerTensors : 1.5 * kResnetTensors));
  }
  if (config.has_mid_block) {
    const auto width = static_cast<double>(config.block_out_channels.back());
    const auto depth = static_cast<double>(config.transformer_layers.back());
    const double share = Share(levels - 1);
    kept += share * (2 * kResnetTensors + depth * kTransformerTensors) * width;
    held += share * (2 + depth + kTransformerEnds) * width;
  }
  const auto cell = static_cast<double>(pixels_a_side_of_a_cell);
  const double bytes = kFloatBytes / (cell * cell);
  return Bytes(bytes, kept, held, kTensorsUnderWay * entry + largest);
}

double PeakBytes(const std::vector<ActivationBytes>& passes, bool recompute) {
  double before = 0;  // held for the passes so far
  double peak = 0;
  for (const ActivationBytes& pass : passes) {
    before += recompute ? pass.held : pass.kept;
    peak = std::max(peak, before + (recompute ? pass.under_way : 0));
  }
  return peak;
}

}  // namespace antidiffusion
