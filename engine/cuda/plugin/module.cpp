// The module's entry points; everything else in it is hidden.
#include "engine/cuda/cuda_backend.h"
#include "engine/cuda/device.h"
#include "engine/cuda_loader.h"

#define PROTOLITH_EXPORT extern "C" __attribute__((visibility("default")))

PROTOLITH_EXPORT const char* protolith_cuda_module_version() {
  return PROTOLITH_VERSION;
}

/// The caller owns the result. Exceptions pass: both sides are built by one compiler.
PROTOLITH_EXPORT protolith::Backend* protolith_make_cuda_backend(
    const protolith::CudaOptions& options) {
  return new protolith::CudaBackend(options);
}

PROTOLITH_EXPORT void protolith_list_cuda_devices(std::vector<std::string>& descriptions) {
  descriptions = protolith::cuda::device_descriptions();
}
