// What one pass of the networks costs on this machine's processor:
//   bench_models [--benchmark_filter=unet/clothing] [--benchmark_repetitions=5]
// Names: NETWORK/SIZE/PRECISION/LAYOUT/GRADIENT[/recompute]. Weights are random: time does not
// depend on them. On shared cores compare the least CPU time of one thread (OMP_NUM_THREADS=1), A
// and B in turn
// (--benchmark_enable_random_interleaving=true).
#include <ATen/ATen.h>
#include <benchmark/benchmark.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/models/config.h"
#include "core/models/recompute.h"
#include "core/models/unet.h"
#include "core/models/vae.h"
#include "core/surrogate/autocast.h"

namespace antidiffusion {
namespace {

struct Size {
  std::string name;
  UNetConfig unet;
  VaeConfig vae;
};

// The small model of models/clothing.
Size Clothing() {
  Size size{"clothing", {}, {}};
  size.unet.sample_size = 16;
  size.unet.block_out_channels = {64, 128, 160, 192};
  size.unet.layers_per_block = {1, 1, 1, 1};
  size.unet.norm_num_groups = 8;
  size.unet.cross_attention_dim = 128;
  size.unet.attention_heads = {4, 4, 4, 4};
  size.unet.use_linear_projection = true;
  size.vae.block_out_channels = {32, 48, 128};
  size.vae.norm_num_groups = 8;
  return size;
}

// Stable Diffusion 2.1-base, at latents of `side`.
Size StableDiffusion2(int64_t side) {
  Size size{"sd2_" + std::to_string(side), {}, {}};
  size.unet.sample_size = side;
  size.unet.cross_attention_dim = 1024;
  size.unet.attention_heads = {5, 10, 20, 20};
  size.unet.use_linear_projection = true;
  size.vae.block_out_channels = {128, 256, 512, 512};
  size.vae.layers_per_block = 2;
  return size;
}

struct Setting {
  c10::ScalarType precision = at::kFloat;
  bool channels_last = false;
  bool weight_gradients = false;
  bool recompute = false;

  std::string name() const {
    return std::string(precision == at::kFloat ? "fp32" : "bf16") +
           (channels_last ? "/nhwc" : "/nchw") + (weight_gradients ? "/weights" : "/input") +
           (recompute ? "/recompute" : "");
  }
  at::MemoryFormat format() const {
    return channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  }
};

void Prepare(torch::nn::Module& module, const Setting& setting) {
  const at::NoGradGuard no_grad;
  for (at::Tensor& parameter : module.parameters()) {
    parameter.normal_(0, 0.02);
    if (parameter.dim() == 4) parameter.set_data(parameter.contiguous(setting.format()));
    parameter.requires_grad_(setting.weight_gradients);
  }
  SetRecompute(module, setting.recompute);
}

void RunUNet(benchmark::State& state, const Size& size, const Setting& setting) {
  UNet unet(size.unet);
  Prepare(*unet, setting);
  const int64_t side = size.unet.sample_size;
  const at::Tensor timestep = at::tensor({500});
  const at::Tensor noise = at::randn({1, 4, side, side});
  for (auto _ : state) {
    const at::Tensor latent =
        at::randn({1, 4, side, side}).contiguous(setting.format()).requires_grad_(true);
    const at::Tensor context =
        at::randn({1, 77, size.unet.cross_attention_dim}).requires_grad_(true);
    at::Tensor predicted;
    {
      const AutocastScope autocast(at::kCPU, setting.precision);
      predicted = unet(latent, timestep, context);
    }
    at::mse_loss(predicted.to(at::kFloat), noise).backward();
    unet->zero_grad();
  }
}

void RunVae(benchmark::State& state, const Size& size, const Setting& setting) {
  Vae vae(size.vae);
  Prepare(*vae, setting);
  const int64_t side = size.unet.sample_size * size.vae.factor();
  for (auto _ : state) {
    const at::Tensor image =
        at::rand({1, 3, side, side}).contiguous(setting.format()).requires_grad_(true);
    at::Tensor mean;
    {
      const AutocastScope autocast(at::kCPU, setting.precision);
      mean = vae->encode(image).mean;
    }
    mean.sum().backward();
  }
}

void Register(const Size& size) {
  using Run = void (*)(benchmark::State&, const Size&, const Setting&);
  const auto add = [&size](const std::string& network, Run run, const Setting& setting) {
    benchmark::RegisterBenchmark(
        (network + "/" + size.name + "/" + setting.name()).c_str(),
        [size, setting, run](benchmark::State& state) { run(state, size, setting); })
        ->Unit(benchmark::kMillisecond)
        ->MeasureProcessCPUTime()
        ->UseRealTime();
  };
  for (const c10::ScalarType precision : {at::kFloat, at::kBFloat16}) {
    for (const bool channels_last : {false, true}) {
      add("unet", RunUNet, {precision, channels_last, false});
      add("unet", RunUNet, {precision, channels_last, true});
      add("vae_encode", RunVae, {precision, channels_last, false});
    }
    add("unet", RunUNet, {precision, false, false, true});
    add("vae_encode", RunVae, {precision, false, false, true});
  }
}

}  // namespace
}  // namespace antidiffusion

int main(int argc, char** argv) {
  antidiffusion::Register(antidiffusion::Clothing());
  antidiffusion::Register(antidiffusion::StableDiffusion2(32));
  antidiffusion::Register(antidiffusion::StableDiffusion2(64));
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
