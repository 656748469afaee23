// `protolith bench` as a script uses it.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/tools/program.h"

namespace protolith::testing {

TEST_CASE("bench ops: every operation of a step, with rates that fit its times") {
  const ProgramResult result =
      run_program("bench ops --device cpu --workload Op --filter loss --repeats 2 --warm 0 --json");
  REQUIRE(result.code == 0);
  const auto one = nlohmann::json::parse(result.output);
  REQUIRE(one["ops"].size() == 1);
  CHECK(one["ops"][0]["name"] == "leaky_softmax_loss");
  CHECK(one["ops"][0]["shape"] == std::vector<int>{300, 60});
  const double ms = one["ops"][0]["median_ms"];
  CHECK(ms > 0);
  // It reads the distances and writes their gradients: 4 bytes each.
  CHECK(one["ops"][0]["gb_per_s"].get<double>() ==
        doctest::Approx(2 * 4 * 300 * 60 * 1e-9 / (ms * 1e-3)));
  CHECK(one["peak_gflops"].get<double>() > 0);
  CHECK(one["peak_memory_mb"].get<double>() > 0);

  const auto all = nlohmann::json::parse(
      run_program("bench ops --device cpu --filter squared_distances --repeats 3 --warm 0 --json")
          .output);
  REQUIRE(all["ops"].size() == 3);
  for (const char* const key : {"median_ms", "min_ms", "max_ms"}) {
    CAPTURE(key);
    double sum = 0;
    for (const auto& op : all["ops"]) sum += op[key].get<double>();
    CHECK(all[key].get<double>() == doctest::Approx(sum));
  }
  double mflop = 0;
  for (const auto& op : all["ops"]) {
    mflop += op["gflops"].get<double>() * op["median_ms"].get<double>();
  }
  CHECK(all["gflops"].get<double>() * all["median_ms"].get<double>() == doctest::Approx(mflop));
  const auto& gemm = all["ops"][0];
  CHECK(gemm["gflops"].get<double>() ==
        doctest::Approx(2 * 300 * 60 * 576 * 1e-9 / (gemm["median_ms"].get<double>() * 1e-3)));
  CHECK(gemm["share_of_peak"].get<double>() > 0);
}

TEST_CASE("bench cost: a step's operations, their sums, and the least time that they take") {
  for (const std::string batch_norm : {"cudnn", "fused"}) {
    CAPTURE(batch_norm);
    const ProgramResult result =
        run_program("bench cost --workload Op --json --batch-norm " + batch_norm);
    REQUIRE(result.code == 0);
    const auto cost = nlohmann::json::parse(result.output);
    CHECK(cost["batch_norm"] == batch_norm);
    std::int64_t launches = 0, read = 0, written = 0, flops = 0;
    double tf32 = 0;
    const auto h100 = cost["floors"][0];
    REQUIRE(h100["device"] == "H100 SXM 80 GB");
    for (const auto& work : cost["work"]) {
      launches += work["launches"].get<std::int64_t>();
      read += work["read_bytes"].get<std::int64_t>();
      written += work["written_bytes"].get<std::int64_t>();
      flops += work["flops"].get<std::int64_t>();
      const std::string name = work["name"];
      CAPTURE(name);
      // A kernel of ours names its family, for tools/profile/summarize.
      REQUIRE(work.contains("family") == (work["by"] == "kernel"));
      if (work.contains("family")) {
        CHECK(std::filesystem::exists(std::filesystem::path(PROTOLITH_GOLDENS) /
                                      "../../kernels/cuda" /
                                      (work["family"].get<std::string>() + ".cu")));
      }
      const bool convolution = work["by"] == "cuDNN" && !contains(name, "norm");
      const double bytes = work["read_bytes"].get<double>() + work["written_bytes"].get<double>();
      tf32 +=
          std::max(bytes / 3.35e12, work["flops"].get<double>() / (convolution ? 494e12 : 67e12));
    }
    const auto& totals = cost["totals"];
    CHECK(totals["launches"] == launches);
    CHECK(totals["read_bytes"] == read);
    CHECK(totals["written_bytes"] == written);
    CHECK(totals["flops"] == flops);
    CHECK(totals["cublas_calls"] == 3);
    // 4 + 4 + 3 convolutions, and twice 4 batch norms.
    CHECK(totals["cudnn_calls"] == (batch_norm == "fused" ? 11 : 19));
    CHECK(h100["tf32_ms"].get<double>() == doctest::Approx(1e3 * tf32));
    CHECK(h100["batch_norm"] == batch_norm);
    const auto& t4 = cost["floors"].back();
    CHECK(t4["device"] == "T4");
    CHECK(t4["batch_norm"] == "fused");
    CHECK(!t4.contains("tf32_ms"));
  }
}

TEST_CASE("bench cost: one convolution by hand, and the text") {
  const auto cost = nlohmann::json::parse(run_program("bench cost --workload M --json").output);
  const auto& list = cost["work"];
  const auto found = std::find_if(list.begin(), list.end(), [](const auto& work) {
    return work["name"] == "block 2: convolution";
  });
  REQUIRE(found != list.end());
  constexpr std::int64_t kPixels = 480 * 42 * 42, kWeights = 9 * 64 * 64;
  CHECK((*found)["flops"] == 2 * kPixels * kWeights);
  CHECK((*found)["read_bytes"] == 4 * (64 * kPixels + kWeights));
  CHECK((*found)["written_bytes"] == 4 * 64 * kPixels);
  const ProgramResult text = run_program("bench cost --workload M");
  CHECK(text.code == 0);
  CHECK(contains(text.output, "480 images of 84x84x3"));
  CHECK(contains(text.output, "block 2: convolution"));
  CHECK(contains(text.output, "T4"));
}

TEST_CASE("bench: a training step where nothing is named, and --filter chooses nothing of it") {
  const ProgramResult step = run_program("bench --filter loss --repeats 1 --warm 0 --json");
  REQUIRE(step.code == 0);
  CHECK(contains(step.errors, "--filter loss has no effect on bench step"));
  const auto timed = nlohmann::json::parse(step.output);
  CHECK(timed["what"] == "step");
  CHECK(timed["images"] == 360);
  for (const char* const key : {"median_ms", "min_ms", "max_ms", "peak_memory_mb", "gflops"}) {
    CAPTURE(key);
    CHECK(timed[key].get<double>() > 0);
  }
}

TEST_CASE("bench eval: an episode of the workload, though eval is a command too") {
  const ProgramResult result =
      run_program("bench eval --device cpu --workload O --repeats 1 --warm 0 --json");
  REQUIRE(result.code == 0);
  const auto timed = nlohmann::json::parse(result.output);
  CHECK(timed["what"] == "eval");
  CHECK(timed["images"] == 120);
  CHECK(timed["share_of_peak"].get<double>() > 0);
}

TEST_CASE("bench: wrong usage") {
  const ProgramResult none = run_program("bench ops --filter nothing --repeats 1 --warm 0");
  CHECK(none.code == 2);
  CHECK(contains(none.errors, "--filter nothing: no operation"));
  CHECK(run_program("bench step --workload X").code == 2);
  CHECK(run_program("bench ops --repeats 0").code == 2);
  CHECK(run_program("bench cost --batch-norm composed").code == 2);
  CHECK(run_program("bench cost --json --markdown").code == 2);
  CHECK(run_program("bench ops --markdown").code == 2);
  const ProgramResult timed = run_program("bench step --device cpu --batch-norm cudnn");
  CHECK(timed.code == 2);
  CHECK(contains(timed.errors, "--batch-norm cudnn"));
}

}  // namespace protolith::testing
