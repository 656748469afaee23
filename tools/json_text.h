// Writing JSON, and reading what anybody may have written.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace protolith {

/// Lists and objects may lie in one another as deep as this: programs that copy, compare or print a
/// value call themselves for each level. What Protolith writes has 4.
inline constexpr std::size_t kMaxJsonDepth = 64;
/// A value takes up to 40 times the memory of its text, so there may not be more of them than this.
inline constexpr std::size_t kMaxJsonValues = 1'000'000;

/// The value that `text` holds. Discarded (`is_discarded()`) when it is not JSON, or exceeds one of
/// the two limits, which are checked before it is parsed.
nlohmann::json parse_json(std::string_view text);

/// `value` and a line break; `indent` spaces a level, -1: all in one line. Bytes that are not UTF-8
/// become U+FFFD: names of files need not be, and no result shall be lost to one.
std::string json_text(const nlohmann::json& value, int indent = -1);

/// Whether a configuration, JSON or TOML, can hold `text`.
bool is_utf8(const std::string& text);
inline constexpr char kNotUtf8[] = "must be UTF-8, so that files can hold it; rename what it names";

}  // namespace protolith
