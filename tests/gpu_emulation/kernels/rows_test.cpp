#include "kernels/cuda/rows.h"

#include <algorithm>

#include "tests/gpu_emulation/kernels/same.h"
#include "tests/gpu_emulation/kernels/support.h"

namespace protolith::test {
namespace {

struct Shape {
  std::int64_t source, offset, target;
};

TEST_CASE("place rows: the source in its place, zero elsewhere") {
  for (const Shape& s :
       {Shape{1, 0, 1}, Shape{1, 4, 5}, Shape{3, 1, 7}, Shape{4, 4, 12}, Shape{64, 0, 1088},
        Shape{64, 1024, 1088}, Shape{64, 64, 1025}, Shape{256, 255, 513}, Shape{1020, 4, 1028},
        Shape{5, 2, 8}, Shape{3, 4, 12}, Shape{8, 3, 12}, Shape{300, 300, 4000}}) {
    for (const int skew : {0, 1, 2}) {  // of neither, the source, the target
      CAPTURE(s.source);
      CAPTURE(s.offset);
      CAPTURE(s.target);
      CAPTURE(skew);
      const DeviceArray<float> source(normal(s.source, 61), skew == 1);
      std::vector<float> expected(static_cast<std::size_t>(s.target), 0.0F);
      std::copy_n(source.data(), s.source, expected.begin() + s.offset);
      for_each_order([&] {
        DeviceArray<float> target(s.target, skew == 2);
        cuda::place_rows(source.data(), s.source, target.data(), s.offset, s.target, nullptr);
        CHECK(same(target.values(), expected));
      });
    }
  }
}

}  // namespace
}  // namespace protolith::test
