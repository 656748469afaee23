#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/engine/temporary_folder.h"

// Reads event files without the code under test.
namespace protolith::testing {

template <class Number>
Number take(std::string_view& bytes) {
  Number value{};
  if (bytes.size() < sizeof value) throw std::runtime_error("cut short");
  std::memcpy(&value, bytes.data(), sizeof value);
  bytes.remove_prefix(sizeof value);
  return value;
}

/// CRC-32C, bit by bit.
inline std::uint32_t slow_crc32c(std::string_view bytes) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? (crc >> 1) ^ 0x82F63B78 : crc >> 1;
  }
  return ~crc;
}

inline std::uint32_t slow_masked_crc(std::string_view bytes) {
  const std::uint32_t crc = slow_crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8;
}

/// The payloads of a file's whole records; throws on a wrong checksum.
inline std::vector<std::string> read_records(const std::string& file) {
  std::vector<std::string> records;
  std::string_view rest = file;
  while (rest.size() >= 12) {
    const std::string_view length_bytes = rest.substr(0, 8);
    const auto length = take<std::uint64_t>(rest);
    if (take<std::uint32_t>(rest) != slow_masked_crc(length_bytes)) {
      throw std::runtime_error("checksum of a length");
    }
    if (rest.size() < length + 4) break;  // cut short
    const std::string_view payload = rest.substr(0, length);
    rest.remove_prefix(length);
    if (take<std::uint32_t>(rest) != slow_masked_crc(payload)) {
      throw std::runtime_error("checksum of a payload");
    }
    records.emplace_back(payload);
  }
  return records;
}

/// A field of a protobuf message: its number and its bytes, a varint's as eight.
using Fields = std::vector<std::pair<std::uint64_t, std::string>>;

inline std::uint64_t take_varint(std::string_view& bytes) {
  std::uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = take<unsigned char>(bytes);
    value |= std::uint64_t{byte & 0x7FU} << shift;
    if (byte < 0x80) return value;
  }
}

inline Fields read_fields(std::string_view message) {
  Fields fields;
  while (!message.empty()) {
    const std::uint64_t key = take_varint(message);
    std::size_t size = 0;
    switch (key & 7) {
      case 0: {
        const std::uint64_t value = take_varint(message);
        fields.emplace_back(key >> 3, std::string(reinterpret_cast<const char*>(&value), 8));
        continue;
      }
      case 1:
        size = 8;
        break;
      case 2:
        size = take_varint(message);
        break;
      case 5:
        size = 4;
        break;
      default:
        throw std::runtime_error("wire type");
    }
    if (size > message.size()) throw std::runtime_error("cut short");
    fields.emplace_back(key >> 3, message.substr(0, size));
    message.remove_prefix(size);
  }
  return fields;
}

/// The one field of that number.
inline std::string field(const Fields& fields, std::uint64_t number) {
  const auto is_it = [number](const auto& f) { return f.first == number; };
  if (std::count_if(fields.begin(), fields.end(), is_it) != 1) {
    throw std::runtime_error("not one field " + std::to_string(number));
  }
  return std::find_if(fields.begin(), fields.end(), is_it)->second;
}

template <class Number>
Number number(const Fields& fields, std::uint64_t which) {
  const std::string bytes = field(fields, which);
  std::string_view view = bytes;
  const auto value = take<Number>(view);
  if (!view.empty()) throw std::runtime_error("a number's size");
  return value;
}

inline std::vector<double> numbers(const Fields& fields, std::uint64_t which) {
  const std::string bytes = field(fields, which);
  std::vector<double> values;
  for (std::string_view view = bytes; !view.empty();) values.push_back(take<double>(view));
  return values;
}

inline std::vector<std::filesystem::path> event_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().filename().string().find("tfevents") != std::string::npos) {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// Step and value of each tag, as TensorBoard shows a folder: file after file, a START drops the
/// steps from its own on.
inline std::map<std::string, std::vector<std::pair<std::int64_t, float>>> shown_scalars(
    const std::filesystem::path& folder) {
  std::map<std::string, std::vector<std::pair<std::int64_t, float>>> shown;
  for (const auto& file : event_files(folder)) {
    for (const std::string& record : read_records(slurp(file))) {
      const Fields event = read_fields(record);
      const auto step = number<std::int64_t>(event, 2);
      for (const auto& part : event) {
        if (part.first == 7) {
          for (auto& tag : shown) {
            std::erase_if(tag.second, [step](const auto& point) { return point.first >= step; });
          }
        } else if (part.first == 5) {
          const Fields value = read_fields(field(read_fields(part.second), 1));
          if (value.back().first == 2) {
            shown[field(value, 1)].emplace_back(step, number<float>(value, 2));
          }
        }
      }
    }
  }
  return shown;
}

}  // namespace protolith::testing
