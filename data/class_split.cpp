#include "data/class_split.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <string_view>
#include <utility>

#include "data/source_state.h"
#include "engine/check.h"
#include "engine/file.h"
#include "engine/random.h"

namespace protolith {
namespace {

namespace fs = std::filesystem;

constexpr std::array<Split, 3> kSplits = {Split::train, Split::val, Split::test};
constexpr std::size_t kMaxListBytes = std::size_t{1} << 24;

fs::path list_of(const fs::path& folder, Split split) {
  return folder / (to_string(split) + ".txt");
}

/// Adds a list's classes. Throws UsageError naming the line.
void read_list(const fs::path& file, Split split, const std::vector<std::string>& classes,
               ClassSplit& result) {
  const std::vector<std::byte> bytes = read_file(file, kMaxListBytes);
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";  // as Windows' editors begin a file
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  int number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    const std::string name(line);
    PROTOLITH_CHECK_USAGE(std::binary_search(classes.begin(), classes.end(), name),
                          "{}, line {}: there is no class '{}'", file.string(), number, name);
    PROTOLITH_CHECK_USAGE(result.emplace(name, split).second, "{}, line {}: class '{}' comes twice",
                          file.string(), number, name);
  }
}

}  // namespace

std::array<double, 3> parse_shares(const std::string& text) {
  std::array<double, 3> shares{};
  const char* next = text.data();
  const char* const last = text.data() + text.size();
  bool valid = true;
  for (std::size_t i = 0; i < shares.size() && valid; ++i) {
    if (i > 0) valid = next != last && *next++ == ',';
    const auto [end, error] = std::from_chars(next, last, shares[i]);
    valid = valid && error == std::errc() && std::isfinite(shares[i]) && shares[i] >= 0;
    next = end;
  }
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  PROTOLITH_CHECK_USAGE(valid && next == last && sum > 0 && std::isfinite(sum),
                        "must be three shares TRAIN,VAL,TEST such as 0.64,0.16,0.2, none negative "
                        "and not all 0");
  return shares;
}

std::array<std::size_t, 3> count_by_shares(std::size_t classes,
                                           const std::array<double, 3>& shares) {
  const auto wanted = static_cast<std::size_t>(
      std::count_if(shares.begin(), shares.end(), [](double share) { return share > 0; }));
  PROTOLITH_CHECK_USAGE(classes >= wanted,
                        "{} classes are too few for {} splits; add classes, or give a split a "
                        "share of 0, as in --split-shares 1,1,0",
                        classes, wanted);
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  std::array<std::size_t, 3> counts{};
  std::array<double, 3> remainders{};
  for (std::size_t i = 0; i < shares.size(); ++i) {
    const double exact = static_cast<double>(classes) * (shares[i] / sum);
    counts[i] = static_cast<std::size_t>(exact);
    remainders[i] = exact - static_cast<double>(counts[i]);
  }
  while (std::accumulate(counts.begin(), counts.end(), std::size_t{0}) < classes) {
    const auto largest = std::max_element(remainders.begin(), remainders.end());
    ++counts[static_cast<std::size_t>(largest - remainders.begin())];
    *largest = -1;
  }
  for (std::size_t i = 0; i < shares.size(); ++i) {
    if (shares[i] == 0 || counts[i] > 0) continue;
    --*std::max_element(counts.begin(), counts.end());
    ++counts[i];
  }
  return counts;
}

ClassSplit split_by_shares(std::vector<std::string> classes, const std::array<double, 3>& shares,
                           std::uint64_t seed) {
  const std::array<std::size_t, 3> counts = count_by_shares(classes.size(), shares);
  std::sort(classes.begin(), classes.end());
  Random random(seed, Purpose::class_split);
  ClassSplit result;
  std::size_t next = 0;
  for (const Split split : kSplits) {  // a Fisher-Yates shuffle, dealt out from the front
    for (std::size_t i = 0; i < counts[static_cast<std::size_t>(split)]; ++i, ++next) {
      const auto left = static_cast<std::uint32_t>(classes.size() - next);
      std::swap(classes[next], classes[next + random.below(left)]);
      result.emplace(classes[next], split);
    }
  }
  return result;
}

ClassSplit split_by_lists(const fs::path& folder, const std::vector<std::string>& classes) {
  std::vector<std::string> sorted = classes;
  std::sort(sorted.begin(), sorted.end());
  ClassSplit result;
  bool any = false;
  for (const Split split : kSplits) {
    std::error_code ignored;
    const fs::path file = list_of(folder, split);
    if (!fs::exists(file, ignored)) continue;
    any = true;
    read_list(file, split, sorted, result);
  }
  PROTOLITH_CHECK_USAGE(any,
                        "--split-lists {}: there is no train.txt, val.txt or test.txt, each with a "
                        "class on a line",
                        folder.string());
  return result;
}

std::string lists_state(const fs::path& folder) {
  std::string state;
  for (const Split split : kSplits) {
    std::error_code ignored;
    const fs::path file = list_of(folder, split);
    if (!fs::exists(file, ignored)) continue;
    state += fmt::format("{}: {}\n", to_string(split), file_state(file));
  }
  return state;
}

}  // namespace protolith
