// The words of a command line in the form in which CLI11 takes each for what it is.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
class Validator;
}  // namespace CLI

namespace protolith {

/// CLI11 gives some words a meaning of its own: `--out=` takes the next word for its value, `[x]`
/// is a list and `++` ends one, `--json=5` is how often; a `--` before the command hides it.
/// Returns `words` without such: what follows `--`, and words that look like lists, as paths that
/// start with `./`. Throws UsageError, naming the word, for what can only be a mistake: an option
/// whose value is missing, a flag with a value other than on or off (true or false), a `--` before
/// the command.
std::vector<std::string> plain_arguments(const CLI::App& app,
                                         const std::vector<std::string>& words);

/// Refuses a whole number that is not written in decimal: CLI11 reads 010 as 8.
CLI::Validator decimal();

}  // namespace protolith
