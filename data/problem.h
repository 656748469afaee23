#pragma once

#include <string>
#include <vector>

namespace protolith {

/// Something wrong with a data set's files, and what to do about it.
struct Problem {
  std::string what;
  std::string remedy;
};

/// Throws Error with the first few problems and their remedies unless there are none.
void throw_problems(const std::string& source, const std::vector<Problem>& problems);

}  // namespace protolith
