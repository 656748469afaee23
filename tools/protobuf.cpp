#include "tools/protobuf.h"

#include <array>
#include <bit>

namespace protolith {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie");

enum WireType : std::uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

template <class Number>
void append_raw(std::string& bytes, Number value) {
  const auto raw = std::bit_cast<std::array<char, sizeof value>>(value);
  bytes.append(raw.data(), raw.size());
}

void append_varint(std::string& bytes, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  bytes += static_cast<char>(value);
}

void append_key(std::string& bytes, std::uint32_t field, WireType type) {
  append_varint(bytes, field << 3 | type);
}

}  // namespace

void append_number(std::string& bytes, std::uint32_t value) {
  append_raw(bytes, value);
}

void append_number(std::string& bytes, std::uint64_t value) {
  append_raw(bytes, value);
}

void append_number(std::string& bytes, float value) {
  append_raw(bytes, value);
}

void append_number(std::string& bytes, double value) {
  append_raw(bytes, value);
}

ProtobufMessage& ProtobufMessage::integer(std::uint32_t field, std::int64_t value) {
  append_key(bytes_, field, kVarint);
  append_varint(bytes_, static_cast<std::uint64_t>(value));
  return *this;
}

ProtobufMessage& ProtobufMessage::number(std::uint32_t field, double value) {
  append_key(bytes_, field, kFixed64);
  append_number(bytes_, value);
  return *this;
}

ProtobufMessage& ProtobufMessage::number(std::uint32_t field, float value) {
  append_key(bytes_, field, kFixed32);
  append_number(bytes_, value);
  return *this;
}

ProtobufMessage& ProtobufMessage::bytes(std::uint32_t field, std::string_view value) {
  append_key(bytes_, field, kBytes);
  append_varint(bytes_, value.size());
  bytes_ += value;
  return *this;
}

ProtobufMessage& ProtobufMessage::message(std::uint32_t field, const ProtobufMessage& value) {
  return bytes(field, value.encoded());
}

ProtobufMessage& ProtobufMessage::numbers(std::uint32_t field, std::span<const double> values) {
  std::string packed;
  for (const double value : values) append_number(packed, value);
  return bytes(field, packed);
}

ProtobufMessage& ProtobufMessage::integers(std::uint32_t field,
                                           std::span<const std::int64_t> values) {
  std::string packed;
  for (const std::int64_t value : values) append_varint(packed, static_cast<std::uint64_t>(value));
  return bytes(field, packed);
}

}  // namespace protolith
