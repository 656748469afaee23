#include "data/class_split.h"

#include <doctest/doctest.h>

#include "engine/check.h"
#include "tests/data/fixtures.h"
#include "tests/engine/temporary_folder.h"

namespace protolith {
namespace {

using testing::contains;
using testing::error_of;
using testing::spill;
using testing::TemporaryFolder;

using Counts = std::array<std::size_t, 3>;

std::vector<std::string> letters(int count) {
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) names.emplace_back(1, static_cast<char>('a' + i));
  return names;
}

TEST_CASE("shares are three numbers") {
  CHECK(parse_shares("3,1,0") == std::array<double, 3>{3, 1, 0});
  CHECK(parse_shares("0.64,0.16,0.2") == std::array<double, 3>{0.64, 0.16, 0.2});
  for (const char* text : {"", "1", "1,1", "1,1,1,1", "1,1,1,", "1,1,-1", "0,0,0", "1,1,nan",
                           "inf,1,1", "1, 1,1", "a,b,c", ",,", "1e308,1e308,1e308"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_shares(text), UsageError);
  }
}

TEST_CASE("counts are in proportion, and at least one where the share is positive") {
  CHECK(count_by_shares(100, {0.64, 0.16, 0.2}) == Counts{64, 16, 20});
  CHECK(count_by_shares(10, {0.64, 0.16, 0.2}) == Counts{6, 2, 2});
  CHECK(count_by_shares(3, {0.64, 0.16, 0.2}) == Counts{1, 1, 1});
  CHECK(count_by_shares(4, {98, 1, 1}) == Counts{2, 1, 1});
  CHECK(count_by_shares(2, {1, 1, 0}) == Counts{1, 1, 0});
  CHECK(count_by_shares(7, {0, 0, 1}) == Counts{0, 0, 7});
  for (std::size_t classes = 3; classes < 60; ++classes) {
    const Counts counts = count_by_shares(classes, {1, 1, 1});
    CHECK(counts[0] + counts[1] + counts[2] == classes);
    CHECK(counts[0] - counts[2] <= 1);
  }
  CHECK(contains(error_of([] { count_by_shares(2, {1, 1, 1}); }), "2 classes are too few"));
}

TEST_CASE("classes are dealt out by the seed, whatever order they come in") {
  const std::array<double, 3> shares = {3, 1, 1};
  const ClassSplit split = split_by_shares(letters(20), shares, 1);
  CHECK(split.size() == 20);
  std::vector<std::string> reversed = letters(20);
  std::reverse(reversed.begin(), reversed.end());
  CHECK(split_by_shares(reversed, shares, 1) == split);
  CHECK(split_by_shares(letters(20), shares, 2) != split);
  std::map<Split, int> counts;
  for (const auto& [name, part] : split) ++counts[part];
  CHECK(counts == std::map<Split, int>{{Split::train, 12}, {Split::val, 4}, {Split::test, 4}});
  // Pinned: a later version must not move the classes of runs that exist.
  std::string test;
  for (const auto& [name, part] : split) test += part == Split::test ? name : "";
  CHECK(test == "ajkt");
}

TEST_CASE("lists name the classes of a split") {
  const TemporaryFolder folder;
  spill(folder / "train.txt",
        "\xEF\xBB\xBF"
        "b\r\n\r\na\r\n");  // as Windows' editors write it
  spill(folder / "test.txt", "d");
  const ClassSplit split = split_by_lists(folder.path(), letters(5));
  CHECK(split == ClassSplit{{"a", Split::train}, {"b", Split::train}, {"d", Split::test}});
  const std::string state = lists_state(folder.path());
  spill(folder / "val.txt", "c\n\nz\n");
  CHECK(lists_state(folder.path()) != state);
  CHECK(contains(error_of([&] { split_by_lists(folder.path(), letters(5)); }),
                 "val.txt, line 3: there is no class 'z'"));
  spill(folder / "val.txt", "a\n");
  CHECK(contains(error_of([&] { split_by_lists(folder.path(), letters(5)); }),
                 "val.txt, line 1: class 'a' comes twice"));
  CHECK(contains(error_of([&] { split_by_lists(folder / "nowhere", letters(5)); }),
                 "there is no train.txt, val.txt or test.txt"));
}

}  // namespace
}  // namespace protolith
