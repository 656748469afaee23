#include "tools/json_text.h"

#include <algorithm>

namespace protolith {
namespace {

/// Counts brackets and commas outside of strings. Where `text` is not JSON they may be miscounted,
/// but not before the place at which the parser gives up.
bool within_limits(std::string_view text) {
  std::size_t depth = 0, values = 1;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      quoted = c != '"';
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      ++values;
      if (++depth > kMaxJsonDepth) return false;
    } else if (c == ']' || c == '}') {
      depth -= std::min<std::size_t>(depth, 1);
    } else if (c == ',') {
      ++values;
    }
    if (values > kMaxJsonValues) return false;
  }
  return true;
}

}  // namespace

nlohmann::json parse_json(std::string_view text) {
  using Json = nlohmann::json;
  if (!within_limits(text)) return Json(Json::value_t::discarded);
  return Json::parse(text, nullptr, false);
}

std::string json_text(const nlohmann::json& value, int indent) {
  return value.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

bool is_utf8(const std::string& text) {
  try {
    static_cast<void>(nlohmann::json(text).dump());
    return true;
  } catch (const nlohmann::json::type_error&) {
    return false;
  }
}

}  // namespace protolith
