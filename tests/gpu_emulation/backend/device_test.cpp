// What the backend says on a machine that has no device for it.
#include <doctest/doctest.h>

#include <string>

#include "engine/cuda/cuda_backend.h"
#include "tests/engine/temporary_folder.h"
#include "tests/gpu_emulation/device/device.h"

namespace protolith::test {
namespace {

/// The message of the error that making a backend ends in; empty when it ends in none.
std::string refusal(cudaError_t count_status, int devices, int driver_version, int index = 0) {
  emulated::set_machine(count_status, devices, driver_version);
  std::string message;
  try {
    const CudaBackend backend({.index = index});
  } catch (const Error& error) {
    message = error.what();
  }
  emulated::reset();
  return message;
}

TEST_CASE("a machine without a device: the message says what is missing and what to do") {
  CHECK(refusal(cudaErrorInsufficientDriver, 0, 0) ==
        "device cuda: no NVIDIA driver is installed; install one, or compute on the CPU (--device "
        "cpu)");
  const std::string old = refusal(cudaErrorInsufficientDriver, 1, 11080);
  const std::string needed =
      fmt::format("{}.{}", CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
  CHECK(old == "device cuda: the NVIDIA driver supports CUDA 11.8 and this program needs " +
                   needed + "; update the driver, or compute on the CPU (--device cpu)");
  CHECK(refusal(cudaErrorStubLibrary, 0, 0).find("libcuda.so is the CUDA toolkit's stub") !=
        std::string::npos);
  CHECK(refusal(cudaErrorNoDevice, 0, CUDART_VERSION) ==
        "device cuda: the NVIDIA driver finds no CUDA device; see nvidia-smi and "
        "CUDA_VISIBLE_DEVICES, or compute on the CPU (--device cpu)");
  CHECK(refusal(cudaSuccess, 0, CUDART_VERSION).find("finds no CUDA device") != std::string::npos);
  CHECK(refusal(cudaErrorUnknown, 1, CUDART_VERSION) ==
        "device cuda: unknown error (cudaErrorUnknown)");
}

TEST_CASE("a device number beyond the last one is wrong usage, and named") {
  CHECK(refusal(cudaSuccess, 1, CUDART_VERSION, 1) ==
        "device cuda:1: this machine has 1 CUDA device, numbered from 0");
  CHECK(refusal(cudaSuccess, 2, CUDART_VERSION, 7) ==
        "device cuda:7: this machine has 2 CUDA devices, numbered from 0");
  CHECK_THROWS_AS(CudaBackend({.index = -1}), UsageError);
  CHECK_THROWS_AS(CudaBackend({.index = 1}), UsageError);
  CHECK(refusal(cudaSuccess, 1, CUDART_VERSION) == "");
}

TEST_CASE("a device that our kernels are not compiled for is refused at once") {
  emulated::set_compute_capability(7, 0);
  CHECK_THROWS_WITH_AS(CudaBackend({}),
                       doctest::Contains("compute capability 7.0 is too old: this program needs "
                                         "compute capability 7.5 or later; compute on the CPU"),
                       Error);
  emulated::reset();
}

TEST_CASE("a device that the build has no code for is refused at once") {
  emulated::set_compute_capability(11, 0);
  emulated::fail_driver_call("cudaFuncGetAttributes");
  CHECK_THROWS_WITH_AS(
      CudaBackend({}),
      "device cuda:0: the kernels of this program do not run on Emulated device, compute "
      "capability "
      "11.0: no kernel image is available for execution on the device; build it with "
      "CMAKE_CUDA_ARCHITECTURES=110, or compute on the CPU (--device cpu)",
      Error);
  CHECK_NOTHROW(CudaBackend({}));
  emulated::reset();
}

TEST_CASE("the description names who computes batch norm, and the precision") {
  const auto description = [](int major, int minor, CudaBatchNorm batch_norm) {
    emulated::set_compute_capability(major, minor);
    const std::string text = CudaBackend({.batch_norm = batch_norm}).description();
    CHECK(testing::contains(text, major >= 8 ? " tf32 conv" : " fp32 conv"));
    emulated::reset();
    return text;
  };
  CHECK(testing::contains(description(8, 0, CudaBatchNorm::cudnn), " cudnn batch norm"));
  CHECK(testing::contains(description(8, 0, CudaBatchNorm::fused), " fused batch norm"));
  CHECK(testing::contains(description(8, 0, CudaBatchNorm::composed), " composed batch norm"));
  CHECK(testing::contains(description(7, 5, CudaBatchNorm::cudnn), " fused batch norm"));
}

TEST_CASE("equal devices have equal descriptions: a run may go on on either") {
  emulated::set_machine(cudaSuccess, 2, CUDART_VERSION);
  const std::string second = CudaBackend({.index = 1}).description();
  const std::string first = CudaBackend({.index = 0}).description();
  CHECK(second == first);
  CHECK(testing::contains(first, fmt::format(", cuBLAS {}, ", CUBLAS_VERSION)));
  emulated::reset();
}

TEST_CASE("what a device lacks is refused where it is asked for by name") {
  emulated::set_compute_capability(7, 5);
  CHECK_THROWS_WITH_AS(CudaBackend({.needs_tf32 = true}),
                       doctest::Contains("--precision tf32 needs compute capability 8.0, and "),
                       UsageError);
  CHECK_THROWS_WITH_AS(CudaBackend({.needs_cudnn_batch_norm = true}),
                       doctest::Contains("compute capability 7.5; use --batch-norm fused"),
                       UsageError);
  emulated::reset();
  CHECK_NOTHROW(CudaBackend({.needs_tf32 = true, .needs_cudnn_batch_norm = true}));
  emulated::reset();
}

TEST_CASE("an old cuDNN that was loaded is named with the one that is needed") {
  CHECK_THROWS_WITH_AS(cuda::check_cudnn_version(90701),
                       doctest::Contains("cuDNN 9.7.1 was loaded and 9.8.0 or later is needed"),
                       Error);
  CHECK_NOTHROW(cuda::check_cudnn_version(90800));
}

}  // namespace
}  // namespace protolith::test
