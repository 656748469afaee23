// What the program prints with --json.
#pragma once

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/tools/program.h"

namespace protolith::testing {

inline nlohmann::json json_of(const ProgramResult& result, int code = 0) {
  INFO(result.errors);
  REQUIRE(result.code == code);
  return nlohmann::json::parse(result.output);
}

}  // namespace protolith::testing
