// The CUDA backend lives in a module of its own beside the program, loaded only when it is wanted:
// merely linking cuBLAS would cost every CPU run 200 MB and its start-up time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/backend.h"

namespace protolith {

/// A CUDA backend from the module. Throws Error saying what is missing and what to do when the
/// module, a library of CUDA's, a driver or a device is; UsageError when there are fewer devices
/// than options.index says.
std::unique_ptr<Backend> load_cuda_backend(const CudaOptions& options);

/// "NAME, compute capability 9.0" of each CUDA device, by number. Throws Error when the module is
/// missing or cannot be loaded.
std::vector<std::string> cuda_devices();

/// Why load_cuda_backend() cannot succeed, found out without loading the module, in a few words;
/// empty when it may succeed.
std::string cuda_obstacle();

/// The module's entry points.
inline constexpr const char* kCudaModule = "libprotolith_cuda.so";
using CudaModuleVersion = const char* (*)();
using MakeCudaBackend = Backend* (*)(const CudaOptions&);
using ListCudaDevices = void (*)(std::vector<std::string>&);

}  // namespace protolith
