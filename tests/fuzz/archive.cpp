// data/archive: any file. libarchive itself is not instrumented; its memory is watched all the
// same.
#include "data/archive.h"

#include "tests/fuzz/fuzz.h"

using namespace protolith;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::MemoryFile file;
  std::string_view input = fuzz::text_of(data, size);
  const std::uint8_t choice = fuzz::take_choice(input);
  file.fill(input);
  std::uint64_t total = 0;
  fuzz::try_to([&] {
    constexpr std::size_t kMaxMember = std::size_t{1} << 20;
    read_archive(
        file.path(), kMaxMember,
        [&](const std::string& path) { return choice % 2 == 0 || path.ends_with(".png"); },
        [&](const std::string&, const std::vector<std::byte>& bytes) {
          fuzz::require(bytes.size() <= kMaxMember);
          total += bytes.size();
        });
  });
  fuzz::require(total <= archive_expansion_limit(input.size()));
  return 0;
}
