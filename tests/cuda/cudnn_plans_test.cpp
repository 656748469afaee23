// The real cuDNN plans every convolution of every preset for devices that are not here: a plan's
// engine must exist, keep our rules and fit the workspace limit. Only running it needs the device.
// It prints the plans as a Markdown table.
#include <dlfcn.h>
#include <doctest/doctest.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "engine/cuda/cudnn_batch_norm.h"
#include "engine/cuda/cudnn_convolution.h"

namespace protolith::test {
namespace {

using namespace protolith::cuda;

struct TestDevice {
  const char* name;
  const char* file;
  bool has_tf32;
};

constexpr TestDevice kDevices[] = {{"T4", "t4.json", false},
                                   {"A100", "a100.json", true},
                                   {"RTX 3090", "rtx3090.json", true},
                                   {"H100", "h100.json", true}};

DeviceProperties device_properties(const TestDevice& device) {
  std::ifstream file(std::string(PROTOLITH_DEVICES "/") + device.file);
  REQUIRE(file);
  return DeviceProperties(std::string(std::istreambuf_iterator<char>(file), {}));
}

/// One pass of one layer, for `images` images: square, with 64 filters of 3x3.
struct Layer {
  std::int64_t images, side, channels;

  Shape x() const { return {images, side, side, channels}; }
  ConvolutionShapes shapes() const {
    return {x(), {64, 3, 3, channels}, {images, side, side, 64}, {}};
  }
  auto operator<=>(const Layer&) const = default;
};

/// Every layer of the four-block encoder in training and in evaluation. Whether the last block
/// pools or not does not change what its convolution sees.
std::set<Layer> layers() {
  struct Images {
    std::int64_t side, channels;
    std::vector<std::int64_t> batches;
  };
  // Training batches are ways x (shots + queries); 256 images at a time are embedded.
  const Images sets[] = {{28, 1, {60 * (1 + 5), 60 * (5 + 5), 20 * (1 + 5), 256}},
                         {84, 3, {30 * (1 + 15), 20 * (5 + 15), 256}}};
  std::set<Layer> result;
  for (const Images& set : sets) {
    for (const std::int64_t batch : set.batches) {
      std::int64_t side = set.side;
      for (int block = 0; block < 4; ++block, side /= 2) {
        result.insert({batch, side, block == 0 ? set.channels : 64});
      }
    }
  }
  return result;
}

void print_header() {
  std::puts(
      "| device | precision | pass | input | engine: notes | workspace, MiB |\n"
      "| --- | --- | --- | --- | --- | ---: |");
}

void print(const std::string& device, bool tf32, const char* pass, const Layer& layer,
           const CudnnPlan& plan) {
  std::puts(fmt::format("| {} | {} | {} | {} | {} | {:.1f} |", device, tf32 ? "TF32" : "f32", pass,
                        to_string(layer.x()), plan.engine().description(),
                        static_cast<double>(plan.workspace_bytes()) / 0x1p20)
                .c_str());
}

void check_plan(const CudnnPlan& plan, const CudnnOptions& options) {
  const EngineNotes& engine = plan.engine();
  CHECK(plan.workspace_bytes() <= options.workspace_limit);
  CHECK_FALSE(engine.has(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC));
  CHECK_FALSE(engine.has(CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS));
  CHECK_FALSE(engine.has(CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION));
  CHECK_FALSE(engine.has(CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION));
  if (!options.tf32) CHECK_FALSE(engine.has(CUDNN_NUMERICAL_NOTE_TENSOR_CORE));
}

struct NamedPass {
  ConvolutionPass pass;
  const char* name;
};
constexpr NamedPass kPasses[] = {{ConvolutionPass::forward, "forward"},
                                 {ConvolutionPass::backward_data, "data gradient"},
                                 {ConvolutionPass::backward_weight, "weight gradient"}};

TEST_CASE("cuDNN plans every convolution of every preset, deterministic, in both precisions") {
  print_header();
  int tensor_core_plans = 0;
  const auto check_layer = [&](const TestDevice& device, const DeviceProperties& properties,
                               const CudnnOptions& options, const Layer& layer) {
    const bool first = layer.channels != 64;
    for (const NamedPass& p : kPasses) {
      if (first && p.pass == ConvolutionPass::backward_data) continue;  // images need none
      CAPTURE(p.name);
      CAPTURE(to_string(layer.x()));
      const CudnnPlan plan = plan_convolution(p.pass, layer.shapes(), properties, options);
      check_plan(plan, options);
      tensor_core_plans += plan.engine().has(CUDNN_NUMERICAL_NOTE_TENSOR_CORE) ? 1 : 0;
      print(device.name, options.tf32, p.name, layer, plan);
    }
  };
  for (const TestDevice& device : kDevices) {
    CAPTURE(device.name);
    const DeviceProperties properties = device_properties(device);
    for (const bool tf32 : {true, false}) {
      if (tf32 && !device.has_tf32) continue;
      for (const Layer& layer : layers()) {
        check_layer(device, properties, {.tf32 = tf32}, layer);
      }
    }
  }
  CHECK(tensor_core_plans > 0);
}

TEST_CASE("a device without TF32 gets f32 whatever the options allow") {
  const DeviceProperties properties = device_properties(kDevices[0]);
  for (const Layer& layer : {Layer{360, 28, 1}, Layer{360, 14, 64}}) {
    const CudnnPlan plan =
        plan_convolution(ConvolutionPass::forward, layer.shapes(), properties, {.tf32 = true});
    CHECK_FALSE(plan.engine().has(CUDNN_NUMERICAL_NOTE_TENSOR_CORE));
  }
}

TEST_CASE("the workspace limit holds, and a limit of 0 leaves plans without one") {
  const DeviceProperties properties = device_properties(kDevices[3]);
  for (const auto pass : {ConvolutionPass::forward, ConvolutionPass::backward_data,
                          ConvolutionPass::backward_weight}) {
    const CudnnPlan plan = plan_convolution(pass, Layer{360, 14, 64}.shapes(), properties,
                                            {.tf32 = false, .workspace_limit = 0});
    CHECK(plan.workspace_bytes() == 0);
  }
}

TEST_CASE("kernel sizes, strides, paddings and odd channel counts have plans too") {
  const DeviceProperties properties = device_properties(kDevices[3]);
  for (const std::int64_t kernel : {1, 3, 5}) {
    for (const std::int64_t stride : {1, 2}) {
      for (const std::int64_t channels : {1, 5, 64}) {
        const std::int64_t padding = kernel / 2;
        const std::int64_t side = (9 + 2 * padding - kernel) / stride + 1;
        const ConvolutionShapes shapes{{2, 9, 9, channels},
                                       {7, kernel, kernel, channels},
                                       {2, side, side, 7},
                                       {stride, padding}};
        for (const auto pass : {ConvolutionPass::forward, ConvolutionPass::backward_data,
                                ConvolutionPass::backward_weight}) {
          for (const bool tf32 : {true, false}) {
            const CudnnOptions options{.tf32 = tf32};
            check_plan(plan_convolution(pass, shapes, properties, options), options);
          }
        }
      }
    }
  }
}

TEST_CASE("errors name the shapes and the reasons") {
  const DeviceProperties properties = device_properties(kDevices[3]);
  const auto message = [&](const ConvolutionShapes& shapes) {
    try {
      plan_convolution(ConvolutionPass::forward, shapes, properties, {});
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(message({{2, 8, 8, 3}, {4, 3, 3, 3}, {2, 7, 8, 4}, {}}).find("[2, 7, 8, 4]") !=
        std::string::npos);
  CHECK(message({{2, 8, 8, 3}, {4, 3, 3, 2}, {2, 8, 8, 4}, {}}) != "");
  CHECK(message({{2, 1, 1, 3}, {4, 3, 3, 3}, {2, 1, 1, 4}, {.padding = 0}}).find("do not fit") !=
        std::string::npos);
  CHECK_THROWS_AS(DeviceProperties("{}"), Error);
}

/// Batch norm's engines compile kernels, for which cuDNN needs a driver, the toolkit's stub of one
/// to propose them; only building a plan needs a real one.
TEST_CASE("cuDNN's batch norm: engines for channels in fours from compute capability 8.0 on") {
  void* driver = dlopen("libcuda.so.1", RTLD_NOW);
  if (driver == nullptr) {
    MESSAGE("skipped: no libcuda.so.1, not even the toolkit's stub");
    return;
  }
  const EngineRules rules{.options = {}, .runtime_compilation = true};
  for (const TestDevice& device : kDevices) {
    const DeviceProperties properties = device_properties(device);
    for (const auto pass :
         {BatchNormPass::training, BatchNormPass::training_running, BatchNormPass::backward}) {
      CAPTURE(device.name);
      for (const Shape& x : {Shape{360, 28, 28, 64}, Shape{600, 3, 3, 64}, Shape{480, 84, 84, 64},
                             Shape{1, 1, 2, 4}}) {
        CAPTURE(to_string(x));
        const auto engines = proposed_engines(batch_norm_graph(pass, x), properties);
        CHECK(engines.empty() == !device.has_tf32);
        for (const EngineNotes& engine : engines) {
          CHECK(objection(engine, rules) == "");
          CHECK(engine.has(CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION));
        }
      }
      CHECK(proposed_engines(batch_norm_graph(pass, {4, 5, 5, 6}), properties).empty());
    }
  }
  dlclose(driver);
}

/// Should a newer cuDNN have it, this fails, and the header comment of cudnn_batch_norm.h with it.
TEST_CASE("cuDNN's batch norm: nothing for given statistics") {
  for (const TestDevice& device : kDevices) {
    const OperationGraph graph = batch_norm_graph(BatchNormPass::inference, {256, 28, 28, 64});
    CHECK_THROWS_AS(proposed_engines(graph, device_properties(device)), Error);
  }
}

}  // namespace
}  // namespace protolith::test
