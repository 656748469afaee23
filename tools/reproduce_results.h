// What `protolith reproduce` makes of its commands' results: tables and pictures with the paper's
// numbers beside ours.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/reproduce_plan.h"

namespace protolith {

/// A finished target.
struct ReproduceResult {
  std::string text;          ///< for people
  nlohmann::json numbers;    ///< for machines, an object
  std::string failure = {};  ///< what kept a picture from being drawn; empty: nothing
};

/// Reads the steps' results and writes the target's own files into options.out. Throws Error naming
/// a file that lacks what it should hold.
ReproduceResult reproduce_result(const ReproduceOptions& options,
                                 const std::vector<ReproduceStep>& steps);

}  // namespace protolith
