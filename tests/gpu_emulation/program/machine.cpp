// The emulated device as the whole program's: an empty CUDA_VISIBLE_DEVICES hides it, as a driver
// does, and a fault that nobody asked for ends the program with an exit code that no test expects.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tests/gpu_emulation/device/device.h"

namespace {

class Machine {
 public:
  Machine() {
    protolith::emulated::fault();  // makes the device, which so outlives this object
    const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES");
    if (visible != nullptr && std::string_view(visible).empty()) {
      protolith::emulated::set_machine(cudaErrorNoDevice, 0, CUDART_VERSION);
    }
  }
  ~Machine() {
    const std::string fault = protolith::emulated::fault();
    if (fault.empty()) return;
    std::fprintf(stderr, "the emulated device: %s\n", fault.c_str());
    std::_Exit(70);
  }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
};

const Machine machine;

}  // namespace
