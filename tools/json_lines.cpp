#include "tools/json_lines.h"

#include <cmath>
#include <fstream>
#include <string>

#include "engine/check.h"

namespace protolith {

JsonLines read_json_lines(const std::filesystem::path& path) {
  std::error_code error;
  std::ifstream file(path);
  PROTOLITH_CHECK(file.is_open() && std::filesystem::is_regular_file(path, error),
                  "{}: cannot be read; see to its permissions", path.string());
  JsonLines lines;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (file.eof()) {
      lines.torn = true;
      break;
    }
    nlohmann::json object = nlohmann::json::parse(line, nullptr, false);
    PROTOLITH_CHECK(object.is_object(), "{}:{}: is no JSON object; remove the line or the file",
                    path.string(), number);
    lines.objects.push_back(std::move(object));
  }
  PROTOLITH_CHECK(!file.bad(), "{}: cannot be read", path.string());
  return lines;
}

double number_or_nan(const nlohmann::json& object, const char* key, const std::string& origin) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return std::nan("");
  PROTOLITH_CHECK(found->is_number(), "{}: '{}' must be a number", origin, key);
  return found->get<double>();
}

std::int64_t integer_of(const nlohmann::json& object, const char* key, const std::string& origin) {
  const auto found = object.find(key);
  PROTOLITH_CHECK(found != object.end() && found->is_number_integer(),
                  "{}: '{}' must be there, an integer", origin, key);
  return found->get<std::int64_t>();
}

}  // namespace protolith
