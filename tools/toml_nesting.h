#pragma once

#include <cstddef>
#include <string_view>

namespace protolith {

/// The brackets and dots of a TOML text outside of strings and comments. No value lies deeper than
/// that: each level of nesting takes a bracket ("[a]", "{ a = 1 }", "[1]") or a dot ("a.b").
std::size_t count_toml_nesting(std::string_view text);

}  // namespace protolith
