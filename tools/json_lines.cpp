#include "tools/json_lines.h"

#include <cmath>
#include <fstream>
#include <string>

#include "engine/check.h"
#include "tools/json_text.h"

namespace protolith {

WholeLines read_whole_lines(const std::filesystem::path& path) {
  std::ifstream file(path);
  PROTOLITH_CHECK(file.is_open() || !std::filesystem::exists(path),
                  "{}: cannot be read; see to its permissions", path.string());
  WholeLines whole;
  for (std::string line; std::getline(file, line);) {
    whole.torn = file.eof();
    if (!whole.torn) whole.lines.push_back(line);
  }
  PROTOLITH_CHECK(!file.bad(), "{}: cannot be read", path.string());
  return whole;
}

JsonLines read_json_lines(const std::filesystem::path& path) {
  const WholeLines whole = read_whole_lines(path);
  JsonLines result{.objects = {}, .torn = whole.torn};
  for (const std::string& line : whole.lines) {
    result.objects.push_back(parse_json(line));
    PROTOLITH_CHECK(result.objects.back().is_object(),
                    "{}:{}: is no JSON object; remove the line or the file", path.string(),
                    result.objects.size());
  }
  return result;
}

double number_or_nan(const nlohmann::json& object, const char* key, const std::string& origin) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return std::nan("");
  PROTOLITH_CHECK(found->is_number(), "{}: '{}' must be a number", origin, key);
  return found->get<double>();
}

std::int64_t required_integer(const nlohmann::json& object, const char* key,
                              const std::string& origin) {
  const auto found = object.find(key);
  PROTOLITH_CHECK(found != object.end() && found->is_number_integer(),
                  "{}: '{}' must be there, an integer", origin, key);
  return found->get<std::int64_t>();
}

}  // namespace protolith
