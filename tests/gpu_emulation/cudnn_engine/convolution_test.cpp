#include "tests/reference/convolution.h"

#include <cstring>

#include "tests/gpu_emulation/cudnn_engine/support.h"

namespace protolith::test {
namespace {

Shape shape_of(const reference::Extents& e) {
  return {e.images, e.height, e.width, e.channels};
}

/// A convolution's arrays, and the three results of a CudnnConvolution.
struct Problem {
  reference::Convolution shape;
  Array x, weight, dy;

  explicit Problem(const reference::Convolution& s)
      : shape(s),
        x(random_array(s.x.elements(), 1)),
        weight(random_array(s.weight_elements(), 2)),
        dy(random_array(s.y().elements(), 3)) {}

  Shape weight_shape() const {
    return {shape.filters, shape.kernel_height, shape.kernel_width, shape.x.channels};
  }
  ConvolutionGeometry geometry() const { return {shape.stride, shape.padding}; }

  std::vector<float> forward(CudnnConvolution& convolution) const {
    const Tensor tx = upload(x, shape_of(shape.x)), tw = upload(weight, weight_shape());
    const Tensor y = on_device(shape_of(shape.y()));
    convolution.forward(tx, tw, geometry(), y);
    return download(y);
  }
  std::vector<float> backward_data(CudnnConvolution& convolution) const {
    const Tensor tdy = upload(dy, shape_of(shape.y())), tw = upload(weight, weight_shape());
    const Tensor dx = on_device(shape_of(shape.x));
    convolution.backward_data(tdy, tw, geometry(), dx);
    return download(dx);
  }
  std::vector<float> backward_weight(CudnnConvolution& convolution) const {
    const Tensor tx = upload(x, shape_of(shape.x)), tdy = upload(dy, shape_of(shape.y()));
    const Tensor dw = on_device(weight_shape());
    convolution.backward_weight(tx, tdy, geometry(), dw);
    return download(dw);
  }
};

void check_against_reference(const Problem& p, CudnnConvolution& convolution) {
  const reference::Convolution& s = p.shape;
  CAPTURE(to_string(shape_of(s.x)));
  CAPTURE(to_string(p.weight_shape()));
  CAPTURE(s.stride);
  CAPTURE(s.padding);
  const std::int64_t area = s.kernel_height * s.kernel_width;
  CHECK(relative_error(p.forward(convolution), reference::convolution(p.x, p.weight, s)) <=
        sum_tolerance(area * s.x.channels));
  CHECK(relative_error(p.backward_data(convolution),
                       reference::convolution_backward_data(p.dy, p.weight, s)) <=
        sum_tolerance(area * s.filters));
  CHECK(relative_error(p.backward_weight(convolution),
                       reference::convolution_backward_weight(p.x, p.dy, s)) <=
        sum_tolerance(s.y().rows()));
}

/// To 10 mantissa bits, as a double.
double tf32(double value) {
  auto f = static_cast<float>(value);
  std::uint32_t bits = 0;
  std::memcpy(&bits, &f, sizeof bits);
  bits = (bits + 0x1000U) & ~0x1FFFU;
  std::memcpy(&f, &bits, sizeof bits);
  return f;
}

Array tf32(Array values) {
  for (double& value : values) value = tf32(value);
  return values;
}

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

TEST_CASE("cuDNN convolution in f32: kernels, strides, paddings, channels") {
  Gpu gpu;
  CudnnConvolution convolution = gpu.convolution({.tf32 = false});
  for (const std::int64_t channels : {1, 3, 64}) {
    for (const std::int64_t filters : {1, 5}) {
      check_against_reference(Problem({{2, 7, 5, channels}, filters}), convolution);
    }
  }
  for (const std::int64_t kernel : {1, 3, 5}) {
    for (const std::int64_t stride : {1, 2}) {
      for (const std::int64_t padding : {0, 1, 2}) {
        check_against_reference(Problem({{2, 9, 6, 5}, 4, kernel, kernel, stride, padding}),
                                convolution);
      }
    }
  }
  check_against_reference(Problem({{1, 1, 1, 1}, 1, 1, 1, 1, 0}), convolution);
  check_against_reference(Problem({{3, 6, 6, 4}, 4, 3, 1, 1, 1}), convolution);
}

TEST_CASE("cuDNN convolution in TF32: inputs rounded, sums f32") {
  Gpu gpu;
  CudnnConvolution convolution = gpu.convolution({.tf32 = true});
  const Problem p({{2, 7, 5, 8}, 8});
  const std::vector<float> y = p.forward(convolution);
  CHECK(relative_error(y, reference::convolution(tf32(p.x), tf32(p.weight), p.shape)) <=
        sum_tolerance(72));
  // A rounding to 11 significant bits errs by at most 2^-11, two factors by twice that.
  const double error = relative_error(y, reference::convolution(p.x, p.weight, p.shape));
  CHECK(error > sum_tolerance(72));
  CHECK(error <= 0x1p-10);
}

TEST_CASE("an engine is objected to for each thing that the options forbid") {
  const auto verdict = [](EngineNotes engine, const EngineRules& rules) {
    return objection(engine, rules);
  };
  const EngineNotes plain{.index = 1, .numerical = {}, .behavior = {}};
  const EngineNotes tensor_core{1, {CUDNN_NUMERICAL_NOTE_TENSOR_CORE}, {}};
  const EngineNotes shuffled{1, {CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC}, {}};
  const EngineNotes compiled{1, {}, {CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION}};
  CHECK(verdict(plain, {}).empty());
  CHECK(verdict(tensor_core, {}).empty());
  CHECK(verdict(tensor_core, {.options = {.tf32 = false}}) == "TF32");
  CHECK(verdict(shuffled, {}) == "non-deterministic");
  CHECK(verdict(shuffled, {.options = {.deterministic = false}}).empty());
  CHECK(verdict(compiled, {}) == "compiles at run time");
  CHECK(verdict(compiled, {.options = {}, .runtime_compilation = true}).empty());
  for (const auto note : {CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS,
                          CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION}) {
    CHECK(verdict({1, {CUDNN_NUMERICAL_NOTE_TENSOR_CORE, note}, {}}, {}) == "reduced precision");
  }
}

TEST_CASE("the first engine that keeps the rules and can be built becomes the plan") {
  Gpu gpu;
  const DeviceProperties device(*gpu.handle);
  const ConvolutionShapes shapes{{2, 7, 5, 8}, {8, 3, 3, 8}, {2, 7, 5, 8}, {}};
  const auto chosen = [&](const CudnnOptions& options) {
    return plan_convolution(ConvolutionPass::forward, shapes, device, options).engine().index;
  };
  CHECK(chosen({.tf32 = true}) == 67);
  CHECK(chosen({.tf32 = false}) == 70);
  CHECK(chosen({.tf32 = false, .workspace_limit = std::size_t{8} << 30U}) == 42);
  CHECK(chosen({.tf32 = false, .workspace_limit = 0}) == 0);  // from the fallback list
  CHECK(chosen({.tf32 = false, .deterministic = false}) == 20);
  const std::string refusals = message_of([&] {
    CudnnPlan(batch_norm_graph(BatchNormPass::training, {2, 7, 5, 8}), device, {});
  });
  CHECK(refusals.find("engine 0: compiles at run time -> compiles at run time") !=
        std::string::npos);
}

TEST_CASE("a device without TF32 computes in f32 whatever the options allow") {
  Gpu gpu(7, 5);
  CudnnConvolution convolution = gpu.convolution({.tf32 = true});
  check_against_reference(Problem({{2, 7, 5, 8}, 8}), convolution);
}

TEST_CASE("deterministic plans repeat their bits; others need not") {
  Gpu gpu;
  const Problem p({{7, 5, 5, 4}, 4});
  CudnnConvolution fixed = gpu.convolution({.tf32 = false});
  CHECK(p.backward_weight(fixed) == p.backward_weight(fixed));
  CudnnConvolution free = gpu.convolution({.tf32 = false, .deterministic = false});
  CHECK(p.backward_weight(free) != p.backward_weight(free));
}

TEST_CASE("workspaces: as many bytes as the plan wants, within the limit, none for none") {
  Gpu gpu;
  const Problem p({{2, 7, 5, 8}, 8});
  CudnnConvolution with = gpu.convolution({.tf32 = false});
  p.forward(with);
  REQUIRE(gpu.workspaces.size() == 1);
  CHECK(gpu.workspaces.front() == 2 * 7 * 5 * 8 * sizeof(float));
  CudnnConvolution without = gpu.convolution({.tf32 = false, .workspace_limit = 0});
  check_against_reference(p, without);
  CHECK(gpu.workspaces.size() == 1);
}

TEST_CASE("plans are made once for each shape and pass") {
  Gpu gpu;
  const Problem p({{2, 7, 5, 8}, 8}), q({{3, 7, 5, 8}, 8});
  CudnnConvolution convolution = gpu.convolution({});
  p.forward(convolution);
  p.forward(convolution);
  CHECK(convolution.planned() == 1);
  p.backward_data(convolution);
  p.backward_weight(convolution);
  CHECK(convolution.planned() == 3);
  q.forward(convolution);
  CHECK(convolution.planned() == 4);
}

TEST_CASE("a captured convolution runs at every launch of its graph") {
  Gpu gpu;
  const Problem p({{2, 7, 5, 8}, 8});
  CudnnConvolution convolution = gpu.convolution({.tf32 = false});
  const Tensor x = upload(p.x, {2, 7, 5, 8}), w = upload(p.weight, p.weight_shape());
  const Tensor y = on_device({2, 7, 5, 8});
  convolution.forward(x, w, {}, y);  // plans
  const std::vector<float> want = download(y);
  const Tensor scratch = on_device({2 * 7 * 5 * 8 * 4}, DType::u8);
  CudnnConvolution captured(*gpu.handle, {.tf32 = false}, [&](std::size_t) { return scratch; });
  captured.forward(x, w, {}, y);

  REQUIRE(cudaStreamBeginCapture(gpu.stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  captured.forward(x, w, {}, y);
  cudaGraph_t graph = nullptr;
  REQUIRE(cudaStreamEndCapture(gpu.stream, &graph) == cudaSuccess);
  cudaGraphExec_t launchable = nullptr;
  REQUIRE(cudaGraphInstantiate(&launchable, graph, 0) == cudaSuccess);
  for (int launch = 0; launch < 2; ++launch) {
    REQUIRE(cudaMemset(y.raw(), 0, y.bytes()) == cudaSuccess);
    REQUIRE(cudaGraphLaunch(launchable, gpu.stream) == cudaSuccess);
    CHECK(download(y) == want);
  }
  cudaGraphExecDestroy(launchable);
  cudaGraphDestroy(graph);
}

TEST_CASE("NaN and infinity pass through convolutions") {
  Gpu gpu;
  Problem p({{1, 5, 5, 4}, 4});
  p.x[0] = std::numeric_limits<double>::quiet_NaN();
  p.x[99] = std::numeric_limits<double>::infinity();
  for (const bool tf32 : {true, false}) {
    CudnnConvolution convolution = gpu.convolution({.tf32 = tf32});
    const std::vector<float> y = p.forward(convolution);
    CHECK(std::isnan(y[0]));
    CHECK(!std::isfinite(y[99]));
    CHECK(std::isfinite(y[4 * 4]));
  }
}

TEST_CASE("errors say what is wrong with the operands") {
  Gpu gpu;
  CudnnConvolution convolution = gpu.convolution({});
  const Array x = random_array(2 * 7 * 5 * 8, 1), w = random_array(8 * 9 * 8, 2);
  const Tensor tx = upload(x, {2, 7, 5, 8}), tw = upload(w, {8, 3, 3, 8});
  const Tensor y = on_device({2, 7, 5, 8});
  const auto message = [&](const Tensor& a, const Tensor& b, const Tensor& c) {
    return message_of([&] { convolution.forward(a, b, {}, c); });
  };
  CHECK(message(upload(x, {2, 7, 5, 8}, 4), tw, y).find("x [2, 7, 5, 8] is not aligned") !=
        std::string::npos);
  CHECK(message(tx, tw, on_device({2, 7, 5, 8}, DType::f32, 8)).find("y ") != std::string::npos);
  CHECK(message({}, tw, y).find("x is undefined") != std::string::npos);
  CHECK(message(tx, tw, on_device({2, 7, 5, 8}, DType::i32)).find("i32") != std::string::npos);
  CHECK(message(tx, tw, on_device({2, 7, 5, 4})).find("does not make [2, 7, 5, 4]") !=
        std::string::npos);
  CHECK(convolution.planned() == 0);
}

TEST_CASE("a workspace that is too small is a fault") {
  Gpu gpu;
  const Problem p({{2, 7, 5, 8}, 8});
  const Tensor scratch = on_device({256}, DType::u8);
  CudnnConvolution convolution(*gpu.handle, {.tf32 = false}, [&](std::size_t) { return scratch; });
  const Tensor x = upload(p.x, {2, 7, 5, 8}), w = upload(p.weight, p.weight_shape());
  const Tensor y = on_device({2, 7, 5, 8});
  CHECK_THROWS_AS(convolution.forward(x, w, {}, y), Error);
  CHECK(emulated::fault().find("workspace") != std::string::npos);
}

}  // namespace
}  // namespace protolith::test
