#include "engine/cuda/device.h"

#include "engine/cuda/check.h"
#include "kernels/cuda/scores.h"

namespace protolith::cuda {
namespace {

/// The oldest that kernels/cuda is compiled for.
constexpr int kLeastCapability = 75;

/// "13.0" of CUDA's 13000.
std::string version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

/// Why there is no device, from what cudaGetDeviceCount() returned.
std::string explanation(cudaError_t status) {
  int driver = 0, needed = 0;
  PROTOLITH_CUDA(cudaDriverGetVersion(&driver));
  PROTOLITH_CUDA(cudaRuntimeGetVersion(&needed));
  switch (status) {
    case cudaErrorInsufficientDriver:
      if (driver == 0) {
        return "no NVIDIA driver is installed; install one, or compute on the CPU (--device cpu)";
      }
      return fmt::format(
          "the NVIDIA driver supports CUDA {} and this program needs {}; update the driver, or "
          "compute on the CPU (--device cpu)",
          version_text(driver), version_text(needed));
    case cudaErrorStubLibrary:
      return "libcuda.so is the CUDA toolkit's stub, not a driver; take the stub's folder out of "
             "LD_LIBRARY_PATH or install a driver";
    case cudaErrorNoDevice:
      return "the NVIDIA driver finds no CUDA device; see nvidia-smi and CUDA_VISIBLE_DEVICES, or "
             "compute on the CPU (--device cpu)";
    default:
      return fmt::format("{} ({})", cudaGetErrorString(status), cudaGetErrorName(status));
  }
}

}  // namespace

void use_device(int index) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  PROTOLITH_CHECK(status == cudaSuccess, "device cuda: {}", explanation(status));
  PROTOLITH_CHECK(count > 0, "device cuda: {}", explanation(cudaErrorNoDevice));
  PROTOLITH_CHECK_USAGE(index >= 0 && index < count,
                        "device cuda:{}: this machine has {} CUDA device{}, numbered from 0", index,
                        count, count == 1 ? "" : "s");
  PROTOLITH_CHECK(compute_capability(index) >= kLeastCapability,
                  "device cuda:{}: {} is too old: this program needs compute capability {}.{} or "
                  "later; compute on the CPU (--device cpu)",
                  index, device_description(index), kLeastCapability / 10, kLeastCapability % 10);
  PROTOLITH_CUDA(cudaSetDevice(index));
  cudaFuncAttributes attributes{};
  const cudaError_t code = cudaFuncGetAttributes(&attributes, any_kernel());
  if (code == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());
  throw Error(fmt::format(
      "device cuda:{}: the kernels of this program do not run on {}: {}; build it with "
      "CMAKE_CUDA_ARCHITECTURES={}, or compute on the CPU (--device cpu)",
      index, device_description(index), cudaGetErrorString(code), compute_capability(index)));
}

int compute_capability(int index) {
  int major = 0, minor = 0;
  PROTOLITH_CUDA(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index));
  PROTOLITH_CUDA(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index));
  return 10 * major + minor;
}

std::string device_description(int index) {
  cudaDeviceProp properties{};
  PROTOLITH_CUDA(cudaGetDeviceProperties(&properties, index));
  return fmt::format("{}, compute capability {}.{}", properties.name, properties.major,
                     properties.minor);
}

std::vector<std::string> device_descriptions() {
  int count = 0;
  std::vector<std::string> descriptions;
  if (cudaGetDeviceCount(&count) != cudaSuccess) count = 0;
  static_cast<void>(cudaGetLastError());  // having none is no failure
  for (int i = 0; i < count; ++i) descriptions.push_back(device_description(i));
  return descriptions;
}

}  // namespace protolith::cuda
