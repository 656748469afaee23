#pragma once

#include <cstdint>
#include <string>

namespace protolith {

enum class DeviceType : std::uint8_t { cpu, cuda };

/// Where a tensor's memory lies: the host, or the CUDA device number `index`.
struct Device {
  DeviceType type = DeviceType::cpu;
  int index = 0;
  friend bool operator==(const Device&, const Device&) = default;
};

/// "cpu" or "cuda:0".
std::string to_string(Device device);

}  // namespace protolith
