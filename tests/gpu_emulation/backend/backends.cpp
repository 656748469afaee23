// The CUDA backend in its forms, on the emulated device.
#include <doctest/doctest.h>

#include "engine/cuda/cuda_backend.h"
#include "tests/backend_ops/support.h"
#include "tests/gpu_emulation/device/device.h"

namespace protolith::test {

void for_each_backend(const std::function<void(Backend&)>& test) {
  for (const CudaBatchNorm batch_norm : {CudaBatchNorm::fused, CudaBatchNorm::cudnn}) {
    // Both schedules: the one finds results that nobody waited for, the other inputs that come
    // late.
    emulated::set_schedule(batch_norm == CudaBatchNorm::fused ? emulated::Schedule::latest
                                                              : emulated::Schedule::soonest);
    {
      CudaBackend backend({.tf32 = false, .batch_norm = batch_norm});
      const std::string name = backend.description();
      CAPTURE(name);
      test(backend);
      CHECK(emulated::fault() == "");
    }
    emulated::reset();
  }
}

}  // namespace protolith::test
