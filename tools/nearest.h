#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace protolith {

/// The candidate with the smallest edit distance to `word`, the first of several; "" when there are
/// none. For "did you mean" in error messages.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace protolith
