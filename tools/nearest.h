#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace protolith {

/// The candidate with the smallest edit distance to `word`, the first of several; "" when none is
/// nearer than half of the word's length.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

/// For the end of an error message: "; did you mean 'CANDIDATE'?", or "" when none is near.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace protolith
