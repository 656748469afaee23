#include "tests/cuda/cudnn_case_parts.h"

#include <doctest/doctest.h>

#include <fstream>
#include <iterator>

namespace protolith::test {

RawDescriptor device(Sequence& s) {
  std::ifstream file(PROTOLITH_DEVICES "/h100.json");
  REQUIRE(file);
  const std::string json(std::istreambuf_iterator<char>(file), {});
  RawDescriptor d(s, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  d.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
        static_cast<std::int64_t>(json.size()), json.data());
  d.finalize();
  return d;
}

namespace {

#ifdef PROTOLITH_STANDINS
constexpr bool kStandin = true;
#else
constexpr bool kStandin = false;
#endif

void check(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    if (c.asked == Asked::standin && !kStandin) continue;
    const Outcome outcome = c.run();
    CAPTURE(c.name);
    CAPTURE(std::string(cudnnGetErrorString(outcome.status)));
    CHECK(static_cast<int>(outcome.call) == static_cast<int>(c.expected.call));
    CHECK(outcome.status == c.expected.status);
  }
}

TEST_CASE("cuDNN descriptors: tensors and devices") {
  check(tensor_cases());
}
TEST_CASE("cuDNN descriptors: convolutions") {
  check(convolution_cases());
}
TEST_CASE("cuDNN descriptors: heuristics, plans, variant packs") {
  check(plan_cases());
}
TEST_CASE("cuDNN descriptors: normalisation") {
  check(norm_cases());
}

}  // namespace
}  // namespace protolith::test
