#include "engine/tensor.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace protolith {

std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::i64:
      return 8;
    case DType::u8:
      return 1;
  }
  throw Error("unknown element type");
}

std::string to_string(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::i32:
      return "i32";
    case DType::i64:
      return "i64";
    case DType::u8:
      return "u8";
  }
  throw Error("unknown element type");
}

Shape::Shape(std::initializer_list<std::int64_t> extents)
    : Shape(std::span<const std::int64_t>(extents.begin(), extents.size())) {}

Shape::Shape(std::span<const std::int64_t> extents) {
  PROTOLITH_CHECK(extents.size() <= kMaxRank, "a shape has at most {} extents, got {}", kMaxRank,
                  extents.size());
  constexpr std::int64_t kMaxElements = std::int64_t{1} << 60;  // their bytes fit 64 bits
  for (const std::int64_t extent : extents) {
    PROTOLITH_CHECK(extent >= 1 && extent <= kMaxElements / elements_,
                    "invalid shape [{}]: extents are at least 1 and their product at most 2^60",
                    fmt::join(extents, ", "));
    extents_[static_cast<std::size_t>(rank_++)] = extent;
    elements_ *= extent;
  }
}

std::int64_t Shape::operator[](int axis) const {
  PROTOLITH_CHECK(axis >= 0 && axis < rank_, "axis {} of a shape of rank {}", axis, rank_);
  return extents_[static_cast<std::size_t>(axis)];
}

std::string to_string(const Shape& shape) {
  return fmt::format("[{}]", fmt::join(shape.extents(), ", "));
}

Tensor::Tensor(std::shared_ptr<Storage> storage, Shape shape, DType dtype, std::size_t byte_offset)
    : storage_(std::move(storage)), shape_(shape), dtype_(dtype), byte_offset_(byte_offset) {
  PROTOLITH_CHECK(defined(), "a tensor of shape {} without storage; is its source undefined?",
                  to_string(shape_));
  PROTOLITH_CHECK(byte_offset_ <= storage_->bytes() && bytes() <= storage_->bytes() - byte_offset_,
                  "tensor {} {} at byte {} does not fit storage of {} bytes", to_string(dtype_),
                  to_string(shape_), byte_offset_, storage_->bytes());
}

Tensor Tensor::host(Shape shape, DType dtype) {
  return {allocate_host(static_cast<std::size_t>(shape.elements()) * size_of(dtype)), shape, dtype};
}

std::byte* Tensor::raw() const {
  PROTOLITH_CHECK(defined(), "read of an undefined tensor");
  return storage_->data() + byte_offset_;
}

Tensor Tensor::reshaped(Shape shape) const {
  PROTOLITH_CHECK(shape.elements() == elements(), "cannot reshape {} to {}", to_string(shape_),
                  to_string(shape));
  return {storage_, shape, dtype_, byte_offset_};
}

Tensor Tensor::rows(std::int64_t begin, std::int64_t end) const {
  PROTOLITH_CHECK(shape_.rank() >= 1 && begin >= 0 && begin < end && end <= shape_[0],
                  "rows [{}, {}) of a tensor of shape {}", begin, end, to_string(shape_));
  std::array<std::int64_t, Shape::kMaxRank> extents{};
  std::copy(shape_.extents().begin(), shape_.extents().end(), extents.begin());
  extents[0] = end - begin;
  const std::span<const std::int64_t> used(extents.data(), static_cast<std::size_t>(shape_.rank()));
  return view(begin * (elements() / shape_[0]), Shape(used));
}

Tensor Tensor::viewed_as(DType dtype) const {
  PROTOLITH_CHECK(size_of(dtype) == size_of(dtype_), "cannot view {} as {}", to_string(dtype_),
                  to_string(dtype));
  return {storage_, shape_, dtype, byte_offset_};
}

Tensor Tensor::view(std::int64_t offset, Shape shape) const {
  PROTOLITH_CHECK(offset >= 0 && shape.elements() <= elements() - offset,
                  "view of {} elements at {} in a tensor of shape {}", shape.elements(), offset,
                  to_string(shape_));
  return {storage_, shape, dtype_,
          byte_offset_ + static_cast<std::size_t>(offset) * size_of(dtype_)};
}

}  // namespace protolith
