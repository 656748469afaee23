// data/class_split: lists of classes, and shares.
#include "data/class_split.h"

#include <cmath>

#include "tests/fuzz/fuzz.h"

using namespace protolith;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  struct Lists {
    fuzz::Folder folder;
    fuzz::MemoryFile train, test;
    Lists() {
      folder.link("train.txt", train);
      folder.link("test.txt", test);
    }
  };
  static const Lists lists;
  const std::string_view input = fuzz::text_of(data, size);
  const std::size_t half = std::min(input.find('\0'), input.size());
  lists.train.fill(input.substr(0, half));
  lists.test.fill(input.substr(std::min(half + 1, input.size())));
  const std::vector<std::string> classes = {"anchor", "fork", "house", "spiral"};
  fuzz::try_to([&] {
    for (const auto& [name, split] : split_by_lists(lists.folder.path(), classes)) {
      fuzz::require(std::find(classes.begin(), classes.end(), name) != classes.end());
    }
  });
  fuzz::try_to([&] {
    const auto shares = parse_shares(std::string(input));
    for (const double share : shares) fuzz::require(std::isfinite(share) && share >= 0);
    const auto counts = count_by_shares(100, shares);
    fuzz::require(counts[0] + counts[1] + counts[2] == 100);
  });
  return 0;
}
