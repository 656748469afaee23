#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>

namespace protolith {

/// A failure that the caller can act on. `what()` says what is wrong, with values, and the remedy;
/// `where()` is the source position of the check, for maintainers.
class Error : public std::runtime_error {
 public:
  // The builtins rather than std::source_location, which clang 14 does not have.
  explicit Error(const std::string& message, const char* file = __builtin_FILE(),
                 int line = __builtin_LINE())
      : std::runtime_error(message), where_(fmt::format("{}:{}", file, line)) {}
  const std::string& where() const noexcept { return where_; }

 private:
  std::string where_;
};

/// Wrong usage: an option or configuration value that cannot work. The program exits with 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

}  // namespace protolith

/// Throws protolith::Error with a fmt-style message unless `condition` holds.
#define PROTOLITH_CHECK(condition, ...)                     \
  do {                                                      \
    if (!(condition)) [[unlikely]] {                        \
      throw ::protolith::Error(::fmt::format(__VA_ARGS__)); \
    }                                                       \
  } while (false)

/// Throws protolith::UsageError with a fmt-style message unless `condition` holds.
#define PROTOLITH_CHECK_USAGE(condition, ...)                    \
  do {                                                           \
    if (!(condition)) [[unlikely]] {                             \
      throw ::protolith::UsageError(::fmt::format(__VA_ARGS__)); \
    }                                                            \
  } while (false)
