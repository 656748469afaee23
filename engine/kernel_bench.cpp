#include "engine/kernel_bench.h"

#include <algorithm>
#include <array>

#include "engine/random.h"

namespace protolith {
namespace {

constexpr KernelAxis kCount[]{{"COUNT"}};
constexpr KernelAxis kRows[]{{"ROWS"}, {"CHANNELS"}};
constexpr KernelAxis kImages[]{{"IMAGES"}, {"HEIGHT", 2}, {"WIDTH", 2}, {"CHANNELS"}};
constexpr KernelAxis kBatch[]{{"IMAGES"}, {"HEIGHT"}, {"WIDTH"}, {"CHANNELS"}};
constexpr KernelAxis kFirstBlock[]{
    {"IMAGES"}, {"HEIGHT", 2}, {"WIDTH", 2}, {"CHANNELS"}, {"FILTERS", 16, 16}};
constexpr KernelAxis kBlock[]{
    {"IMAGES"}, {"HEIGHT", 2}, {"WIDTH", 2}, {"CHANNELS", 16, 16}, {"FILTERS", 16, 16}};
constexpr KernelAxis kFilters[]{{"FILTERS", 16, 16}, {"CHANNELS", 16, 16}};
constexpr KernelAxis kTable[]{{"ROWS"}, {"FEATURES"}};
constexpr KernelAxis kPlaced[]{{"SOURCE"}, {"TARGET"}};
constexpr KernelAxis kClasses[]{{"WAY"}, {"SHOT"}, {"FEATURES"}};
constexpr KernelAxis kSides[]{{"QUERIES"}, {"PROTOTYPES"}, {"FEATURES"}};
constexpr KernelAxis kPairs[]{{"QUERIES"}, {"PROTOTYPES"}};
constexpr KernelAxis kHistogram[]{{"VALUES"}, {"BINS"}};

/// Elements of a pattern of random numbers: more than any vector or tile that could make use of
/// their repetition.
constexpr std::int64_t kPattern = std::int64_t{1} << 18;

}  // namespace

std::span<const KernelAxis> axes_of(KernelDomain domain) {
  switch (domain) {
    case KernelDomain::parameters:
    case KernelDomain::activations:
    case KernelDomain::embeddings:
    case KernelDomain::queries:
      return kCount;
    case KernelDomain::rows:
      return kRows;
    case KernelDomain::images:
      return kImages;
    case KernelDomain::batch:
      return kBatch;
    case KernelDomain::first_block:
      return kFirstBlock;
    case KernelDomain::block:
      return kBlock;
    case KernelDomain::filters:
      return kFilters;
    case KernelDomain::table:
      return kTable;
    case KernelDomain::placed:
      return kPlaced;
    case KernelDomain::classes:
      return kClasses;
    case KernelDomain::sides:
      return kSides;
    case KernelDomain::pairs:
      return kPairs;
    default:
      return kHistogram;
  }
}

std::string syntax_of(KernelDomain domain) {
  std::string text;
  for (const KernelAxis& axis : axes_of(domain)) {
    if (!text.empty()) text += 'x';
    text += axis.name;
  }
  return text;
}

Tensor KernelData::operand(std::int64_t count, DType dtype) {
  tensors_.push_back(backend_.persistent({count}, dtype));
  operand_bytes_ += static_cast<std::int64_t>(tensors_.back().bytes());
  return tensors_.back();
}

template <class T>
T* KernelData::repeated(std::int64_t count, std::span<const T> pattern) {
  const Tensor tensor = operand(count, dtype_of<T>());
  const auto length = static_cast<std::int64_t>(pattern.size());
  for (std::int64_t at = 0; at < count; at += length) {
    backend_.copy_from_host(pattern.data(), tensor.view(at, {std::min(length, count - at)}));
  }
  return tensor.data<T>();
}

float* KernelData::random(std::int64_t count, float low, float high) {
  Random numbers(0, Purpose::test, 0, ++sequence_);
  std::vector<float> pattern(static_cast<std::size_t>(std::min(count, kPattern)));
  for (float& value : pattern) value = numbers.uniform(low, high);
  return repeated<float>(count, pattern);
}

float* KernelData::zeros(std::int64_t count) {
  return operand(count, DType::f32).data<float>();
}

std::uint8_t* KernelData::zero_bytes(std::int64_t count) {
  return operand(count, DType::u8).data<std::uint8_t>();
}

float* KernelData::scratch(std::int64_t count) {
  tensors_.push_back(backend_.persistent({count}));
  return tensors_.back().data<float>();
}

float* KernelData::values(std::span<const float> values) {
  return repeated(static_cast<std::int64_t>(values.size()), values);
}

std::int32_t* KernelData::indices(std::int64_t count, std::int64_t bound) {
  std::vector<std::int32_t> all(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i] = static_cast<std::int32_t>(static_cast<std::int64_t>(i) % bound);
  }
  return repeated<std::int32_t>(count, all);
}

std::uint8_t* KernelData::bytes(std::int64_t count, std::int64_t bound) {
  std::vector<std::uint8_t> pattern(static_cast<std::size_t>(kPattern / bound * bound));
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    pattern[i] = static_cast<std::uint8_t>(static_cast<std::int64_t>(i) % bound);
  }
  return repeated<std::uint8_t>(count, pattern);
}

}  // namespace protolith
