// The CUDA backend in its forms, on a real device.
#include <doctest/doctest.h>

#include "engine/cuda_loader.h"
#include "tests/backend_ops/support.h"

namespace protolith::test {

void for_each_backend(const std::function<void(Backend&)>& test) {
  for (const CudaBatchNorm batch_norm : {CudaBatchNorm::fused, CudaBatchNorm::cudnn}) {
    const auto backend = load_cuda_backend({.tf32 = false, .batch_norm = batch_norm});
    const std::string name = backend->description();
    CAPTURE(name);
    test(*backend);
  }
}

}  // namespace protolith::test
