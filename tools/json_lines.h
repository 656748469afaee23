#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

namespace protolith {

/// The objects of a file that has one a line, in their order.
struct JsonLines {
  std::vector<nlohmann::json> objects;
  bool torn =
      false;  ///< whether a last line without its newline, cut short by a kill, was left out
};

/// Reads them all. Throws Error naming file and line on a line that holds no JSON object, and when
/// the file cannot be read.
JsonLines read_json_lines(const std::filesystem::path& path);

/// The number under `key`; NaN where there is none, as JSON writes it. Throws Error that starts
/// with `origin` (a file and a line) when something else stands there.
double number_or_nan(const nlohmann::json& object, const char* key, const std::string& origin);

/// The integer under `key`. Throws Error that starts with `origin` when there is none.
std::int64_t integer_of(const nlohmann::json& object, const char* key, const std::string& origin);

}  // namespace protolith
