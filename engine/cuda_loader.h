// The CUDA backend lives in a module of its own beside the program, loaded only when it is wanted:
// merely linking cuBLAS would cost every CPU run 200 MB and its start-up time.
#pragma once

#include <memory>
#include <string>

#include "engine/backend.h"

namespace protolith {

/// A CUDA backend from the module. Throws Error saying what is missing and what to do when the
/// module, a library of CUDA's, a driver or a device is; UsageError when there are fewer devices
/// than options.index says.
std::unique_ptr<Backend> load_cuda_backend(const CudaOptions& options);

/// Why load_cuda_backend() cannot succeed, found out without loading the module, in a few words;
/// empty when it may succeed.
std::string cuda_obstacle();

/// The module's entry points.
inline constexpr const char* kCudaModule = "libprotolith_cuda.so";
using CudaModuleVersion = const char* (*)();
using MakeCudaBackend = Backend* (*)(const CudaOptions&);

}  // namespace protolith
