#include "tools/toml_nesting.h"

#include <algorithm>

namespace protolith {
namespace {

/// The position after the string that starts at `i`, or after its line where it does not end there.
std::size_t skip_string(std::string_view text, std::size_t i) {
  const char quote = text[i];
  const std::string_view three = quote == '"' ? "\"\"\"" : "'''";
  const bool long_one = text.substr(i).starts_with(three);
  i += long_one ? three.size() : 1;
  while (i < text.size()) {
    const char c = text[i];
    if (c == '\\' && quote == '"') {
      i += 2;
    } else if (long_one && text.substr(i).starts_with(three)) {
      i += three.size();
      // Up to two quotation marks more may end what the string holds.
      for (int more = 0; more < 2 && i < text.size() && text[i] == quote; ++more) ++i;
      return i;
    } else {
      ++i;
      if (!long_one && (c == quote || c == '\n')) return i;
    }
  }
  return text.size();
}

}  // namespace

std::size_t count_toml_nesting(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '"' || c == '\'') {
      i = skip_string(text, i);
    } else if (c == '#') {
      i = std::min(text.find('\n', i), text.size());
    } else {
      if (c == '[' || c == '{' || c == '.') ++count;
      ++i;
    }
  }
  return count;
}

}  // namespace protolith
