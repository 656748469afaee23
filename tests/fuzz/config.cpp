// tools/config_file: TOML. A configuration that was accepted is written and read again.
#include "tests/fuzz/fuzz.h"
#include "tools/options.h"

using namespace protolith;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kMostOfAFile = std::size_t{1} << 20;
  if (size > kMostOfAFile) return -1;
  fuzz::try_to([&] {
    const Config config = resolve_config(parse_config(fuzz::text_of(data, size), "fuzz.toml"), {});
    const std::string text = to_toml(config);
    const Config again = resolve_config(parse_config(text, "again.toml"), {});
    fuzz::require(differing_keys(config, again).empty());
  });
  return 0;
}
