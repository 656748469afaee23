// engine/safetensors: any file.
#include "engine/safetensors.h"

#include "tests/fuzz/fuzz.h"

using namespace protolith;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::MemoryFile file;
  file.fill(fuzz::text_of(data, size));
  fuzz::try_to([] {
    constexpr std::uint64_t kLimit = std::uint64_t{1} << 30;
    const SafeTensors contents = read_safetensors(file.path(), kLimit);
    std::size_t bytes = 0;
    for (const auto& [name, tensor] : contents.tensors) bytes += tensor.bytes();
    fuzz::require(bytes <= std::filesystem::file_size(file.path()));
  });
  return 0;
}
