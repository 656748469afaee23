#include "engine/tensor.h"

#include <doctest/doctest.h>

#include <numeric>
#include <string>
#include <vector>

using protolith::allocate_host;
using protolith::Device;
using protolith::DeviceType;
using protolith::DType;
using protolith::Error;
using protolith::Shape;
using protolith::Tensor;

namespace {

/// 0, 1, 2, ... in `shape`.
Tensor counted(Shape shape) {
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  std::iota(values.begin(), values.end(), 0.0F);
  return Tensor::of(std::span<const float>(values), shape);
}

std::vector<float> values_of(const Tensor& tensor) {
  const auto span = tensor.host_span<float>();
  return {span.begin(), span.end()};
}

/// Memory that claims to lie on a CUDA device.
class ElsewhereOwner : public protolith::MemoryOwner {
 public:
  void release(std::byte*, std::size_t, std::uint64_t) noexcept override {}
};

}  // namespace

TEST_CASE("shapes count their elements") {
  CHECK(Shape{}.rank() == 0);
  CHECK(Shape{}.elements() == 1);
  const Shape shape{360, 28, 28, 64};
  CHECK(shape.rank() == 4);
  CHECK(shape.elements() == 360 * 28 * 28 * 64);
  CHECK(shape[3] == 64);
  CHECK(to_string(shape) == "[360, 28, 28, 64]");
  CHECK(to_string(Shape{}) == "[]");
  CHECK(Shape{2, 3} == Shape{2, 3});
  CHECK(Shape{2, 3} != Shape{3, 2});
  CHECK(Shape{2} != Shape{2, 1});
}

TEST_CASE("shapes refuse what they cannot hold") {
  CHECK_THROWS_AS((Shape{1, 1, 1, 1, 1}), Error);
  CHECK_THROWS_AS((Shape{2, 0}), Error);
  CHECK_THROWS_AS((Shape{-1}), Error);
  CHECK_THROWS_AS((Shape{2})[1], Error);
  CHECK_THROWS_AS((Shape{2})[-1], Error);
  CHECK_THROWS_AS(Shape{}[0], Error);
}

TEST_CASE("a shape's bytes never wrap around") {
  constexpr std::int64_t kHuge = std::int64_t{1} << 30;
  CHECK(Shape{kHuge, kHuge}.elements() == std::int64_t{1} << 60);
  CHECK_THROWS_AS((Shape{kHuge, kHuge, 2}), Error);
  CHECK_THROWS_AS((Shape{kHuge, kHuge, kHuge, kHuge}), Error);
  CHECK_THROWS_AS((Shape{INT64_MAX}), Error);
  // 2^60 elements of 8 bytes are 2^63 bytes: more than there is, and not 0.
  CHECK_THROWS_AS(Tensor::host({kHuge, kHuge}, DType::i64), Error);
}

TEST_CASE("element types have sizes and names") {
  CHECK(size_of(DType::f32) == 4);
  CHECK(size_of(DType::i32) == 4);
  CHECK(size_of(DType::i64) == 8);
  CHECK(size_of(DType::u8) == 1);
  CHECK(to_string(DType::f32) == "f32");
  CHECK(to_string(DType::i32) == "i32");
  CHECK(to_string(DType::i64) == "i64");
  CHECK(to_string(DType::u8) == "u8");
  CHECK(protolith::dtype_of<const std::int64_t>() == DType::i64);
}

TEST_CASE("a host tensor starts at zero, and copies of it share storage") {
  const Tensor tensor = Tensor::host({3, 5});
  CHECK(values_of(tensor) == std::vector<float>(15, 0.0F));
  const Tensor copy = tensor;
  copy.data<float>()[7] = 1.0F;
  CHECK(tensor.data<float>()[7] == 1.0F);
  CHECK(tensor.bytes() == 60);
  CHECK(Tensor::host({3, 5}, DType::i64).bytes() == 120);
}

TEST_CASE("of() copies as many values as the shape has, of every type") {
  const std::vector<std::int64_t> wide{1, -2, INT64_MAX};
  const Tensor tensor = Tensor::of(std::span<const std::int64_t>(wide), {3});
  CHECK(tensor.dtype() == DType::i64);
  CHECK(tensor.data<std::int64_t>()[2] == INT64_MAX);
  const std::vector<std::uint8_t> bytes{1, 2, 3, 4};
  CHECK(Tensor::of(std::span(bytes), {2, 2}).data<std::uint8_t>()[3] == 4);
  CHECK_THROWS_AS(Tensor::of(std::span(bytes), {3}), Error);
}

TEST_CASE("a tensor is read as what it is") {
  const Tensor tensor = Tensor::host({2}, DType::i32);
  CHECK_THROWS_WITH_AS(tensor.data<float>(), "tensor is i32, read as f32", Error);
  CHECK_THROWS_AS(tensor.host_span<std::int64_t>(), Error);
  CHECK(tensor.host_span<std::int32_t>().size() == 2);
}

TEST_CASE("an undefined tensor throws and does not crash") {
  const Tensor none;
  CHECK(!none.defined());
  CHECK_THROWS_AS(none.raw(), Error);
  CHECK_THROWS_AS(none.data<float>(), Error);
  CHECK_THROWS_AS(none.host_span<float>(), Error);
  CHECK_THROWS_AS(none.device(), Error);
  CHECK_THROWS_AS(none.reshaped({1}), Error);
  CHECK_THROWS_AS(none.rows(0, 1), Error);
  CHECK_THROWS_AS(none.view(0, {1}), Error);
  CHECK_THROWS_AS(Tensor(nullptr, {1}, DType::f32), Error);
}

TEST_CASE("rows share storage and stay within bounds") {
  const Tensor tensor = counted({4, 3});
  const Tensor middle = tensor.rows(1, 3);
  CHECK(middle.shape() == Shape{2, 3});
  CHECK(values_of(middle) == std::vector<float>{3, 4, 5, 6, 7, 8});
  CHECK(values_of(middle.rows(1, 2)) == std::vector<float>{6, 7, 8});
  middle.data<float>()[0] = -1.0F;
  CHECK(tensor.data<float>()[3] == -1.0F);
  CHECK(tensor.rows(0, 4).shape() == tensor.shape());
  CHECK_THROWS_AS(tensor.rows(0, 5), Error);
  CHECK_THROWS_AS(tensor.rows(-1, 2), Error);
  CHECK_THROWS_AS(tensor.rows(2, 2), Error);
  CHECK_THROWS_AS(tensor.rows(3, 2), Error);
  CHECK_THROWS_AS(counted({}).rows(0, 1), Error);
}

TEST_CASE("reshapes keep the elements") {
  const Tensor tensor = counted({4, 3});
  const Tensor flat = tensor.reshaped({2, 6});
  CHECK(flat.shape() == Shape{2, 6});
  CHECK(flat.raw() == tensor.raw());
  CHECK(tensor.rows(2, 3).reshaped({3, 1}).data<float>()[0] == 6.0F);
  CHECK(tensor.view(11, {}).data<float>()[0] == 11.0F);
  CHECK_THROWS_AS(tensor.reshaped({5}), Error);
}

TEST_CASE("views share storage and stay within bounds") {
  const Tensor tensor = counted({4, 3});
  CHECK(values_of(tensor.view(5, {2, 2})) == std::vector<float>{5, 6, 7, 8});
  CHECK(values_of(tensor.view(5, {2, 2}).view(3, {1})) == std::vector<float>{8});
  CHECK(values_of(tensor.view(8, {4})) == std::vector<float>{8, 9, 10, 11});
  CHECK_THROWS_AS(tensor.view(9, {4}), Error);
  CHECK_THROWS_AS(tensor.view(-1, {1}), Error);
  CHECK_THROWS_AS(tensor.view(13, {1}), Error);
  CHECK_THROWS_AS(tensor.view(INT64_MAX, {1}), Error);
  CHECK_THROWS_AS(tensor.view(5, {2, 2}).view(4, {1}), Error);
}

TEST_CASE("a tensor must fit its storage") {
  const auto storage = allocate_host(16);
  CHECK(Tensor(storage, {4}, DType::f32).bytes() == 16);
  CHECK(Tensor(storage, {3}, DType::f32, 4).bytes() == 12);
  CHECK_THROWS_AS(Tensor(storage, {5}, DType::f32), Error);
  CHECK_THROWS_AS(Tensor(storage, {4}, DType::f32, 1), Error);
  CHECK_THROWS_AS(Tensor(storage, {1}, DType::u8, SIZE_MAX), Error);
}

TEST_CASE("a device's tensor is not read on the host") {
  const Device cuda{DeviceType::cuda, 1};
  std::byte memory[8]{};
  const Tensor tensor(
      std::make_shared<protolith::Storage>(memory, 8, cuda, std::make_shared<ElsewhereOwner>()),
      {2}, DType::f32);
  CHECK(tensor.device() == cuda);
  CHECK_THROWS_WITH_AS(tensor.host_span<float>(), "tensor is on cuda:1, read on the host", Error);
}
