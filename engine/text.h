// Text taken apart.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace protolith {

/// The parts between separators, empty ones too: one more than there are separators.
inline std::vector<std::string> split_text(std::string_view text, char separator) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

}  // namespace protolith
