#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <type_traits>

#include "engine/check.h"
#include "engine/memory.h"

namespace protolith {

enum class DType : std::uint8_t { f32, i32, u8, i64 };

/// Bytes per element.
std::size_t size_of(DType dtype);
/// "f32", "i32", "u8" or "i64".
std::string to_string(DType dtype);

template <class T>
constexpr DType dtype_of() {
  using U = std::remove_const_t<T>;
  static_assert(std::is_same_v<U, float> || std::is_same_v<U, std::int32_t> ||
                std::is_same_v<U, std::uint8_t> || std::is_same_v<U, std::int64_t>);
  if constexpr (std::is_same_v<U, float>) return DType::f32;
  if constexpr (std::is_same_v<U, std::int32_t>) return DType::i32;
  if constexpr (std::is_same_v<U, std::uint8_t>) return DType::u8;
  return DType::i64;
}

/// Up to four extents, each at least 1; rank 0 is a scalar.
class Shape {
 public:
  static constexpr int kMaxRank = 4;

  Shape() = default;
  /// Throws Error on more than four extents, an extent below 1, or more than 2^60 elements.
  Shape(std::initializer_list<std::int64_t> extents);
  explicit Shape(std::span<const std::int64_t> extents);

  int rank() const noexcept { return rank_; }
  std::int64_t operator[](int axis) const;
  std::int64_t elements() const noexcept { return elements_; }
  std::span<const std::int64_t> extents() const noexcept {
    return {extents_.data(), static_cast<std::size_t>(rank_)};
  }
  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::array<std::int64_t, kMaxRank> extents_{};
  int rank_ = 0;
  std::int64_t elements_ = 1;
};

/// "[360, 28, 28, 64]".
std::string to_string(const Shape& shape);

/// A contiguous, row-major array on one device: a cheap value that shares its storage when copied.
/// Activations are NHWC, filters KRSC (output channels, height, width, input channels).
class Tensor {
 public:
  /// No tensor: defined() is false.
  Tensor() = default;
  Tensor(std::shared_ptr<Storage> storage, Shape shape, DType dtype, std::size_t byte_offset = 0);

  /// A zero-filled host tensor that lives as long as it is referred to.
  static Tensor host(Shape shape, DType dtype = DType::f32);
  /// A host tensor with a copy of `values`, whose number must be shape.elements().
  template <class T>
  static Tensor of(std::span<const T> values, Shape shape);

  bool defined() const noexcept { return storage_ != nullptr; }
  const Shape& shape() const noexcept { return shape_; }
  DType dtype() const noexcept { return dtype_; }
  Device device() const {
    PROTOLITH_CHECK(defined(), "an undefined tensor is on no device");
    return storage_->device();
  }
  std::int64_t elements() const noexcept { return shape_.elements(); }
  std::size_t bytes() const { return static_cast<std::size_t>(elements()) * size_of(dtype_); }

  /// The first element, as device memory. Throws Error when T is not the tensor's type.
  template <class T>
  T* data() const {
    PROTOLITH_CHECK(dtype_of<T>() == dtype_, "tensor is {}, read as {}", to_string(dtype_),
                    to_string(dtype_of<T>()));
    return reinterpret_cast<T*>(raw());
  }
  std::byte* raw() const;
  /// The elements of a host tensor. Throws Error when it lies on another device.
  template <class T>
  std::span<T> host_span() const {
    PROTOLITH_CHECK(device().type == DeviceType::cpu, "tensor is on {}, read on the host",
                    to_string(device()));
    return {data<T>(), static_cast<std::size_t>(elements())};
  }

  /// The same elements under another shape of equal size.
  Tensor reshaped(Shape shape) const;
  /// Elements [begin, end) along the first axis, sharing storage.
  Tensor rows(std::int64_t begin, std::int64_t end) const;
  /// The same bytes as elements of another type of the same size.
  Tensor viewed_as(DType dtype) const;
  /// `shape.elements()` elements starting at flat element `offset`, sharing storage.
  Tensor view(std::int64_t offset, Shape shape) const;

 private:
  std::shared_ptr<Storage> storage_;
  Shape shape_;
  DType dtype_ = DType::f32;
  std::size_t byte_offset_ = 0;
};

template <class T>
Tensor Tensor::of(std::span<const T> values, Shape shape) {
  PROTOLITH_CHECK(static_cast<std::int64_t>(values.size()) == shape.elements(),
                  "{} values for a tensor of shape {}", values.size(), to_string(shape));
  Tensor tensor = host(shape, dtype_of<T>());
  std::copy(values.begin(), values.end(), tensor.data<std::remove_const_t<T>>());
  return tensor;
}

}  // namespace protolith
