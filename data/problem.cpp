#include "data/problem.h"

#include <algorithm>

#include "engine/check.h"

namespace protolith {

void throw_problems(const std::string& source, const std::vector<Problem>& problems) {
  if (problems.empty()) return;
  constexpr std::size_t kShown = 3;
  std::string message = fmt::format("{} cannot be used:", source);
  for (std::size_t i = 0; i < std::min(kShown, problems.size()); ++i) {
    message += fmt::format("\n  {}: {}", problems[i].what, problems[i].remedy);
  }
  if (problems.size() > kShown) {
    message += fmt::format("\n  and {} more problems, which `protolith verify` lists",
                           problems.size() - kShown);
  }
  throw Error(message);
}

}  // namespace protolith
