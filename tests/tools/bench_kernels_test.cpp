// `protolith bench kernels` on the CPU.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/tools/kernel_list.h"
#include "tests/tools/program.h"

namespace protolith::testing {
namespace {

/// Small, its sides even twice and tiles of Winograd's algorithm whole.
const Workload kSmall{"small", "", 28, 1, {3, 1, 2}, {3, 1, 2}, true};

const KernelEntry& entry_of(const KernelBench& bench, const std::string& name) {
  for (const KernelEntry& entry : bench.entries()) {
    if (entry.name == name) return entry;
  }
  throw std::runtime_error("no kernel " + name);
}

}  // namespace

TEST_CASE("bench kernels: every family of kernels/cpu is registered, and every formula's kernel") {
  const auto backend = make_cpu_backend();
  check_listed(kernel_sources("cpu", ".cpp", {"isa", "machine_peak", "padded_planes"},
                              {"batch_norm_gradient_sums", "winograd_convolution"}),
               backend->kernel_bench()->entries());
}

TEST_CASE("bench kernels: a formula's bytes are those of the operands, each read or written") {
  const auto backend = make_cpu_backend();
  const auto bench = backend->kernel_bench();
  for (const KernelEntry& entry : bench->entries()) {
    CAPTURE(entry.name);
    const auto shapes = model_shapes(entry.domain, kSmall);
    REQUIRE(!shapes.empty());
    KernelData data(*backend);
    const PreparedKernel kernel = entry.prepare(data, shapes.front());
    kernel.launch();
    const std::int64_t moved = kernel.traffic.read + kernel.traffic.written;
    constexpr std::int64_t kByValue = 1024;  // what goes in or out by value or in a vector
    CHECK(moved + kByValue >= data.operand_bytes());
    CHECK(moved <= 2 * data.operand_bytes() + kByValue);
    CHECK(kernel.traffic.launches == 1);
  }
}

TEST_CASE("bench kernels: the shapes of a workload's step") {
  const Workload& op = workloads()[1];
  REQUIRE(op.name == "Op");
  using D = KernelDomain;
  CHECK(model_shapes(D::images, op) ==
        std::vector<KernelSizes>{
            {360, 28, 28, 64}, {360, 14, 14, 64}, {360, 7, 7, 64}, {360, 3, 3, 64}});
  CHECK(model_shapes(D::rows, op).back() == KernelSizes{360 * 9, 64});
  CHECK(model_shapes(D::first_block, op) == std::vector<KernelSizes>{{360, 28, 28, 1, 64}});
  CHECK(model_shapes(D::block, op).size() == 3);
  CHECK(model_shapes(D::block, op)[0] == KernelSizes{360, 14, 14, 64, 64});
  CHECK(model_shapes(D::sides, op) == std::vector<KernelSizes>{{300, 60, 576}});
  CHECK(model_shapes(D::parameters, op) ==
        std::vector<KernelSizes>{{9 * 64 + 3 * 9 * 64 * 64 + 4 * 128}});
  CHECK(model_shapes(D::histogram, op) == std::vector<KernelSizes>{{300 * 60, 60}});
  Workload small = op;
  small.training.way = 2;  // 20 distances: fewer than there are counts
  CHECK(model_shapes(D::histogram, small) == std::vector<KernelSizes>{{63, 60}});
  CHECK(model_shapes(D::placed, op) == std::vector<KernelSizes>{{300 * 576, 360 * 576}});
  // Each domain's shapes have its axes, within their bounds.
  const auto backend = make_cpu_backend();
  const auto bench = backend->kernel_bench();
  for (const KernelEntry& entry : bench->entries()) {
    for (const KernelSizes& sizes : model_shapes(entry.domain, op)) {
      CHECK(parse_shape(to_string(sizes), entry) == sizes);
    }
  }
}

TEST_CASE("bench kernels: a shape that does not fit names the value and what would") {
  const auto backend = make_cpu_backend();
  const auto bench = backend->kernel_bench();
  const auto refusal = [&](const std::string& kernel, const std::string& shape) -> std::string {
    try {
      parse_shape(shape, entry_of(*bench, kernel));
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  };
  CHECK(refusal("relu_forward", "17") == "");
  CHECK(refusal("relu_forward", "3x5") ==
        "--shape 3x5: relu_forward takes COUNT, which is 1 number, not 2");
  CHECK(refusal("batch_norm_affine", "0x64") == "--shape 0x64: ROWS is 0, must be 1 or more");
  CHECK(refusal("batch_norm_affine", "-3x64") == "--shape -3x64: ROWS is -3, must be 1 or more");
  CHECK(refusal("batch_norm_affine", "3x") ==
        "--shape 3x: CHANNELS is '', must be a whole number up to 2147483648");
  CHECK(refusal("batch_norm_affine", "3x6.5") ==
        "--shape 3x6.5: CHANNELS is '6.5', must be a whole number up to 2147483648");
  CHECK(refusal("max_pool_forward", "2x8x1x4") == "--shape 2x8x1x4: WIDTH is 1, must be 2 or more");
  CHECK(refusal("winograd_forward", "2x8x8x20x64") ==
        "--shape 2x8x8x20x64: CHANNELS is 20, must be a multiple of 16");
  CHECK(refusal("batch_norm_affine", "4000000x4000000") ==
        "--shape 4000000x4000000: the product of the sizes must be 2147483648 or less");
  CHECK(refusal("batch_norm_affine", "99999999999999999999x1") ==
        "--shape 99999999999999999999x1: ROWS is '99999999999999999999', must be a whole number up "
        "to 2147483648");
}

TEST_CASE("bench kernels: rates are bytes and operations by time, beside the peak") {
  for (const std::string caches : {"cold", "warm"}) {
    CAPTURE(caches);
    const ProgramResult result = run_program(
        "bench kernels --device cpu --filter relu --shape 4096 --repeats 3 --warm 1 "
        "--json --caches " +
        caches);
    REQUIRE(result.code == 0);
    const auto all = nlohmann::json::parse(result.output);
    CHECK(all["what"] == "kernels");
    CHECK(all["caches"] == caches);
    const double flops = all["peak_gflops"], bandwidth = all["peak_gb_per_s"];
    CHECK(flops > 0);
    CHECK(bandwidth > 0);
    CHECK(all["peak_memory_mb"].get<double>() > 0);
    REQUIRE(all["kernels"].size() == 2);
    const auto& backward = all["kernels"][1];
    for (const char* const key : {"median_ms", "min_ms", "max_ms"}) {
      CAPTURE(key);
      CHECK(all[key].get<double>() ==
            doctest::Approx(all["kernels"][0][key].get<double>() + backward[key].get<double>()));
    }
    CHECK(backward["family"] == "relu");
    CHECK(backward["name"] == "relu_backward");
    CHECK(backward["shape"] == std::vector<int>{4096});
    CHECK(backward["read_bytes"] == 8 * 4096);
    CHECK(backward["written_bytes"] == 4 * 4096);
    CHECK(backward["flops"] == 4096);
    const double us = 1e3 * backward["median_ms"].get<double>();
    CHECK(us > 0);
    CHECK(backward["min_ms"].get<double>() <= backward["median_ms"].get<double>());
    CHECK(backward["gb_per_s"].get<double>() == doctest::Approx(12 * 4096 * 1e-3 / us));
    CHECK(backward["gflops"].get<double>() == doctest::Approx(4096 * 1e-3 / us));
    CHECK(backward["share_of_bandwidth"].get<double>() ==
          doctest::Approx(12 * 4096 * 1e-3 / us / bandwidth));
    CHECK(1e3 * backward["floor_ms"].get<double>() ==
          doctest::Approx(std::max(12 * 4096 * 1e-3 / bandwidth, 4096 * 1e-3 / flops)));
  }
}

TEST_CASE("bench kernels: cold caches cost time") {
  const auto info = nlohmann::json::parse(run_program("info --json").output);
  if (info["build"]["sanitizers"] != "") return;  // their checks cost more than memory does
  // 192 KB that fit a core's own cache: from memory it takes several times as long.
  const auto time = [](const std::string& caches) {
    const ProgramResult result = run_program(
        "bench kernels --device cpu --threads 1 --filter add --shape 16384 --repeats 15 --json "
        "--caches " +
        caches);
    return nlohmann::json::parse(result.output)["kernels"][0]["min_ms"].get<double>();
  };
  CHECK(time("cold") > 1.5 * time("warm"));
}

TEST_CASE("bench kernels: the list and the table") {
  const auto list = nlohmann::json::parse(
      run_program("bench kernels --device cpu --list --filter winograd --json").output);
  CHECK(list["kernels"].size() == 5);
  CHECK(list["kernels"][0]["axes"] == "FILTERSxCHANNELS");
  const ProgramResult text =
      run_program("bench kernels --device cpu --filter histogram --repeats 1 --warm 0");
  CHECK(text.code == 0);
  CHECK(contains(text.output, "18000x60"));
  CHECK(contains(text.output, "caches cold"));
}

TEST_CASE("bench kernels: wrong usage") {
  const auto errors = [](const std::string& arguments) {
    const ProgramResult result = run_program("bench " + arguments);
    CHECK(result.code == 2);
    return result.errors;
  };
  CHECK(contains(errors("kernels --device cpu --filter nothing"),
                 "--filter nothing: no kernel has that in its name; --list lists them"));
  CHECK(contains(errors("kernels --device cpu --shape 5"),
                 "adam_step takes COUNT and scale takes QUERIESxPROTOTYPES; choose one of them by "
                 "--filter"));
  CHECK(contains(errors("kernels --device cpu --filter relu --shape 5x5"), "not 2"));
  CHECK(contains(errors("ops --shape 5"), "--shape 5: only for bench kernels"));
  CHECK(contains(errors("step --list"), "--list: only for bench kernels"));
  CHECK(contains(errors("ops --caches warm"), "--caches warm: only for bench kernels"));
  CHECK(contains(errors("kernels --list --shape 5"), "--list runs nothing"));
}

}  // namespace protolith::testing
