// Patterns that show memory which nothing has written yet.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace protolith::emulated {

/// Fills with a NaN that, read as an integer, is no sensible value either.
inline void fill_with_nan(void* pointer, std::size_t bytes) {
  constexpr std::uint32_t kPattern = 0x7fc0dead;
  auto* const data = static_cast<unsigned char*>(pointer);
  for (std::size_t done = 0; done < bytes;) {
    // Doubling copies: the first word, then what is filled so far.
    const std::size_t left = bytes - done;
    const std::size_t step = done == 0 ? (left < 4 ? left : 4) : (left < done ? left : done);
    std::memcpy(data + done, done == 0 ? reinterpret_cast<const unsigned char*>(&kPattern) : data,
                step);
    done += step;
  }
}

}  // namespace protolith::emulated
