#include "engine/cuda/cupti.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <array>

namespace protolith::cuda {
namespace {

template <class F>
void find(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
  PROTOLITH_CHECK(function != nullptr, "it has no {}", name);
}

/// Where CUPTI may lie: where the dynamic linker looks, and where the toolkit puts it.
std::array<std::string, 4> candidates() {
  const std::string name = fmt::format("libcupti.so.{}", CUDART_VERSION / 1000);
  return {"", name, "/usr/local/cuda/lib64/" + name, "/usr/local/cuda/extras/CUPTI/lib64/" + name};
}

Cupti load_first() {
  std::string tried;
  for (const std::string& file : candidates()) {
    try {
      return load_cupti(file);
    } catch (const Error& error) {
      if (!file.empty()) tried += (tried.empty() ? "" : "; ") + file;
    }
  }
  throw Error(fmt::format(
      "a trace or profile of a CUDA device needs CUPTI, which is in none of these: {}. Install "
      "NVIDIA's package cuda-cupti, put its folder into LD_LIBRARY_PATH, or drop --trace and "
      "--profile",
      tried));
}

}  // namespace

Cupti load_cupti(const std::string& file) {
  // Never closed: CUPTI's own threads may live on.
  void* const library = file.empty() ? dlopen(nullptr, RTLD_NOW)
                                     : dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  PROTOLITH_CHECK(library != nullptr, "{} cannot be loaded", file);
  Cupti api{};
  find(library, "cuptiActivityRegisterTimestampCallback", api.register_timestamp_callback);
  find(library, "cuptiActivityRegisterCallbacks", api.register_callbacks);
  find(library, "cuptiActivityEnable", api.enable);
  find(library, "cuptiActivityDisable", api.disable);
  find(library, "cuptiActivityFlushAll", api.flush_all);
  find(library, "cuptiActivityGetNextRecord", api.next_record);
  find(library, "cuptiActivityGetNumDroppedRecords", api.dropped_records);
  find(library, "cuptiGetResultString", api.result_string);
  return api;
}

const Cupti& cupti() {
  static const Cupti api = load_first();
  return api;
}

void check_cupti(CUptiResult result, const char* call) {
  if (result == CUPTI_SUCCESS) return;
  const char* text = nullptr;
  cupti().result_string(result, &text);
  const char* remedy =
      result == CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED
          ? "another profiler is attached: drop --trace and --profile under nsys and ncu"
      : result == CUPTI_ERROR_INSUFFICIENT_PRIVILEGES
          ? "the driver lets only the administrator profile: see NVIDIA's ERR_NVGPUCTRPERM"
          : "drop --trace and --profile, or compute on the CPU (--device cpu)";
  throw Error(fmt::format("CUPTI: {} ({}) in {}; {}", text != nullptr ? text : "unknown error",
                          static_cast<int>(result), call, remedy));
}

}  // namespace protolith::cuda
