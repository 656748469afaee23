#include "kernels/cuda/gather_rows.h"

#include "tests/gpu_emulation/kernels/same.h"
#include "tests/gpu_emulation/kernels/support.h"

namespace protolith::test {
namespace {

TEST_CASE("gather rows: rows by index, NaN for an index outside") {
  constexpr std::int64_t kRows = 7;
  for (const std::int64_t features : {1, 3, 4, 64, 65, 1600}) {
    for (const std::int64_t count : {1, 2, 19, 257}) {
      for (const int skew : {0, 1, 2}) {  // of neither, the table, the output
        CAPTURE(features);
        CAPTURE(count);
        CAPTURE(skew);
        const DeviceArray<float> table(normal(kRows * features, 51), skew == 1);
        std::vector<std::int32_t> indices;
        std::vector<float> expected;
        for (std::int64_t n = 0; n < count; ++n) {
          // -1 ... kRows: one before the first row to one past the last.
          const std::int64_t index = (n * 5 + 3) % (kRows + 2) - 1;
          indices.push_back(static_cast<std::int32_t>(index));
          const bool fits = index >= 0 && index < kRows;
          for (std::int64_t k = 0; k < features; ++k) {
            expected.push_back(fits ? table.data()[index * features + k] : kNan);
          }
        }
        const DeviceArray<std::int32_t> of_rows(indices);
        for_each_order([&] {
          // Zeros, since NaN must be written.
          DeviceArray<float> out(std::vector<float>(expected.size(), 0.0F), skew == 2);
          cuda::gather_rows(table.data(), kRows, features, of_rows.data(), count, out.data(),
                            nullptr);
          CHECK(same(out.values(), expected));
        });
      }
    }
  }
}

}  // namespace
}  // namespace protolith::test
