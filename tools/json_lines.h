// Text files of one JSON object a line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace protolith {

/// The lines of a text file that end in a newline.
struct WholeLines {
  std::vector<std::string> lines;
  bool torn = false;  ///< whether a last line without newline, cut short by a kill, was left out
};

/// Reads them all; none when the file is missing. Throws Error when it cannot be read.
WholeLines read_whole_lines(const std::filesystem::path& path);

struct JsonLines {
  std::vector<nlohmann::json> objects;
  bool torn = false;  ///< as of WholeLines
};

/// The objects of a file, as read_whole_lines() reads it. Throws Error naming file and line on a
/// line that holds no JSON object.
JsonLines read_json_lines(const std::filesystem::path& path);

/// The number under `key`; NaN where there is none, as JSON writes it. Throws Error that starts
/// with `origin` (a file and a line) when something else stands there.
double number_or_nan(const nlohmann::json& object, const char* key, const std::string& origin);

/// The integer under `key`. Throws Error that starts with `origin` when there is none.
std::int64_t required_integer(const nlohmann::json& object, const char* key,
                              const std::string& origin);

}  // namespace protolith
