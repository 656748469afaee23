#include "tests/gpu_emulation/simt/kernel_name.h"

#include <cxxabi.h>
#include <elf.h>
#include <link.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <vector>

namespace simt {
namespace {

// The program's functions by address. Kernels have internal linkage, so that only the full symbol
// table of the file knows them, not the one that dladdr() reads.
std::map<std::uintptr_t, std::string> read_symbols() {
  std::map<std::uintptr_t, std::string> names;
  std::ifstream file("/proc/self/exe", std::ios::binary);
  const std::vector<char> image(std::istreambuf_iterator<char>(file), {});
  const auto at = [&](auto& value, std::size_t offset) {
    if (offset + sizeof value > image.size()) return false;
    std::memcpy(&value, image.data() + offset, sizeof value);
    return true;
  };
  ElfW(Ehdr) header;
  if (!at(header, 0)) return names;
  const auto section = [&](std::size_t i) {
    ElfW(Shdr) s{};
    at(s, header.e_shoff + i * sizeof s);
    return s;
  };
  for (std::size_t i = 0; i < header.e_shnum; ++i) {
    const ElfW(Shdr) table = section(i);
    if (table.sh_type != SHT_SYMTAB) continue;
    const std::size_t strings = section(table.sh_link).sh_offset;
    for (std::size_t k = 0; k < table.sh_size / sizeof(ElfW(Sym)); ++k) {
      ElfW(Sym) symbol;
      if (!at(symbol, table.sh_offset + k * sizeof symbol)) break;
      if ((symbol.st_info & 0xf) != STT_FUNC || symbol.st_value == 0) continue;
      names.emplace(symbol.st_value, image.data() + strings + symbol.st_name);
    }
  }
  return names;
}

// Where the loader put the program, as against the addresses in its file.
std::uintptr_t load_address() {
  std::uintptr_t address = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* result) {
        *static_cast<std::uintptr_t*>(result) = info->dlpi_addr;
        return 1;  // The first is the program.
      },
      &address);
  return address;
}

// a::(anonymous namespace)::scale_kernel<4>(float*, int) [clone .x]: scale_kernel<4>.
std::string shorten(const std::string& name) {
  std::size_t start = 0, end = name.size();
  int angles = 0;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name.compare(i, 21, "(anonymous namespace)") == 0)
      i += 20;
    else if (name[i] == '<')
      ++angles;
    else if (name[i] == '>')
      --angles;
    else if (angles == 0 && name[i] == ' ')
      start = i + 1;
    else if (angles == 0 && name[i] == '(') {
      end = i;
      break;
    } else if (angles == 0 && name.compare(i, 2, "::") == 0)
      start = i + 2;
  }
  return name.substr(start, end - start);
}

}  // namespace

std::string kernel_name(const void* function) {
  static const auto names = read_symbols();
  const auto found = names.find(reinterpret_cast<std::uintptr_t>(function) - load_address());
  if (found == names.end()) return "kernel";
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> plain(
      abi::__cxa_demangle(found->second.c_str(), nullptr, nullptr, &status), std::free);
  return shorten(plain ? plain.get() : found->second);
}

}  // namespace simt
