// `protolith bench` as a script uses it.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/tools/program.h"

namespace protolith::testing {

TEST_CASE("bench ops: every operation of a step, with rates that fit its times") {
  const ProgramResult result =
      run_program("bench ops --workload Op --filter loss --repeats 2 --warm 0 --json");
  REQUIRE(result.code == 0);
  const auto one = nlohmann::json::parse(result.output);
  REQUIRE(one["ops"].size() == 1);
  CHECK(one["ops"][0]["name"] == "leaky_softmax_loss");
  CHECK(one["ops"][0]["shape"] == "[300, 60]");
  const double ms = one["ops"][0]["median_ms"];
  CHECK(ms > 0);
  // It reads the distances and writes their gradients: 4 bytes each.
  CHECK(one["ops"][0]["gb_per_s"].get<double>() ==
        doctest::Approx(2 * 4 * 300 * 60 * 1e-9 / (ms * 1e-3)));
  CHECK(one["peak_gflops"].get<double>() > 0);

  const auto gemm = nlohmann::json::parse(
      run_program("bench ops --filter distances_gemm --repeats 1 --warm 0 --json")
          .output)["ops"][0];
  CHECK(gemm["gflops"].get<double>() ==
        doctest::Approx(2 * 300 * 60 * 576 * 1e-9 / (gemm["median_ms"].get<double>() * 1e-3)));
  CHECK(gemm["share_of_peak"].get<double>() > 0);
}

TEST_CASE("bench: wrong usage") {
  const ProgramResult none = run_program("bench ops --filter nothing --repeats 1 --warm 0");
  CHECK(none.code == 2);
  CHECK(contains(none.errors, "--filter nothing: no operation"));
  CHECK(run_program("bench step --filter loss").code == 2);
  CHECK(run_program("bench step --workload X").code == 2);
  CHECK(run_program("bench ops --repeats 0").code == 2);
}

}  // namespace protolith::testing
