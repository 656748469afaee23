#include "engine/cuda_loader.h"

#include <dlfcn.h>

#include <filesystem>
#include <system_error>

namespace protolith {
namespace {

namespace fs = std::filesystem;

/// Where the module lies: beside the program that runs, or where it is installed.
fs::path module_file() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (error) return kCudaModule;
  const fs::path beside = program.parent_path() / kCudaModule;
  const fs::path installed = program.parent_path() / PROTOLITH_MODULE_FOLDER / kCudaModule;
  return !fs::exists(beside, error) && fs::exists(installed, error) ? installed : beside;
}

std::string loading_failure() {
  const char* const text = dlerror();
  return text != nullptr ? text : "unknown failure";
}

template <class F>
F entry_point(void* module, const char* name) {
  void* const found = dlsym(module, name);
  PROTOLITH_CHECK(found != nullptr, "{} has no {}: it is of another version", kCudaModule, name);
  return reinterpret_cast<F>(found);
}

void* open_module() {
  const fs::path file = module_file();
  PROTOLITH_CHECK(fs::exists(file), "device cuda: {} is missing{}, or use --device cpu",
                  file.string(),
                  PROTOLITH_HAS_CUDA != 0
                      ? ": put it there from where the program was built"
                      : ": this build computes on the CPU only. Build with -DPROTOLITH_CUDA=ON "
                        "where the CUDA toolkit and cuDNN are");
  // Never closed: tensors may outlive the backend. A second call finds it loaded.
  void* const module = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  PROTOLITH_CHECK(module != nullptr, "device cuda: {}; install the CUDA libraries of that version",
                  loading_failure());
  const std::string version =
      entry_point<CudaModuleVersion>(module, "protolith_cuda_module_version")();
  PROTOLITH_CHECK(version == PROTOLITH_VERSION,
                  "device cuda: {} is of version {}, the program of version {}: build both anew",
                  file.string(), version, PROTOLITH_VERSION);
  return module;
}

}  // namespace

std::unique_ptr<Backend> load_cuda_backend(const CudaOptions& options) {
  return std::unique_ptr<Backend>(
      entry_point<MakeCudaBackend>(open_module(), "protolith_make_cuda_backend")(options));
}

std::vector<std::string> cuda_devices() {
  std::vector<std::string> descriptions;
  entry_point<ListCudaDevices>(open_module(), "protolith_list_cuda_devices")(descriptions);
  return descriptions;
}

std::string cuda_obstacle() {
  std::error_code error;
  if (const fs::path file = module_file(); !fs::exists(file, error)) {
    return PROTOLITH_HAS_CUDA != 0 ? fmt::format("{} is missing", file.string())
                                   : "this build has no CUDA backend";
  }
  // Closed again at once: the driver is small, and the module opens it for itself.
  void* const driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (driver == nullptr) return "no NVIDIA driver is installed";
  dlclose(driver);
  return {};
}

}  // namespace protolith
