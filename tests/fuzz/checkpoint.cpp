// tools/checkpoint_metadata: the texts of a checkpoint. What was read is written and read again.
#include "tools/checkpoint_metadata.h"

#include "tests/fuzz/fuzz.h"

using namespace protolith;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input = fuzz::text_of(data, size);
  const bool state = fuzz::take_choice(input) % 2 != 0;
  const std::string text(input);
  fuzz::try_to([&] {
    if (state) {
      const TrainingState read = parse_state(text);
      fuzz::require(parse_state(state_text(read)) == read);
    } else {
      const std::string written = info_text(parse_info(text));
      fuzz::require(info_text(parse_info(written)) == written);
    }
  });
  return 0;
}
