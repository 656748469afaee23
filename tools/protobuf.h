#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace protolith {

/// Appends a number's bytes, little-endian as they lie in memory.
void append_number(std::string& bytes, std::uint32_t value);
void append_number(std::string& bytes, std::uint64_t value);
void append_number(std::string& bytes, float value);
void append_number(std::string& bytes, double value);

/// A protobuf message in wire encoding (protobuf.dev, "Encoding"), written field by field. Knows no
/// schema: the caller gives each field the number and type that the schema has.
class ProtobufMessage {
 public:
  ProtobufMessage& integer(std::uint32_t field, std::int64_t value);
  ProtobufMessage& number(std::uint32_t field, double value);
  ProtobufMessage& number(std::uint32_t field, float value);
  /// A string, a message or packed numbers.
  ProtobufMessage& bytes(std::uint32_t field, std::string_view value);
  ProtobufMessage& message(std::uint32_t field, const ProtobufMessage& value);
  /// Packed.
  ProtobufMessage& numbers(std::uint32_t field, std::span<const double> values);
  ProtobufMessage& integers(std::uint32_t field, std::span<const std::int64_t> values);
  const std::string& encoded() const noexcept { return bytes_; }

 private:
  std::string bytes_;
};

}  // namespace protolith
