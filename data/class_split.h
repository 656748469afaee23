#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "data/image_set.h"

namespace protolith {

/// Which class is in which split.
using ClassSplit = std::map<std::string, Split>;

/// "TRAIN,VAL,TEST": shares of the classes, relative to their sum. Throws UsageError unless they
/// are three finite numbers, none negative and one positive.
std::array<double, 3> parse_shares(const std::string& text);

/// How many of `classes` classes each split gets: in proportion, rounded by largest remainders, and
/// at least one where the share is positive. Throws UsageError when there are fewer classes than
/// positive shares.
std::array<std::size_t, 3> count_by_shares(std::size_t classes,
                                           const std::array<double, 3>& shares);

/// Deals the classes out at random: a pure function of the set of names, the shares and the seed.
/// Throws UsageError as count_by_shares.
ClassSplit split_by_shares(std::vector<std::string> classes, const std::array<double, 3>& shares,
                           std::uint64_t seed);

/// Reads train.txt, val.txt and test.txt in `folder`, those that are there: a class name on each
/// line. Throws UsageError naming file and line when a name is none of `classes` or comes twice, or
/// when there is none of the three files.
ClassSplit split_by_lists(const std::filesystem::path& folder,
                          const std::vector<std::string>& classes);

/// Sizes, times and names of the lists, for who caches what they led to. Empty when there are none.
std::string lists_state(const std::filesystem::path& folder);

}  // namespace protolith
