#include "tools/session.h"

#include <sys/resource.h>

#include <cstdio>
#include <filesystem>

namespace protolith {

std::unique_ptr<Backend> open_backend(const Config& config) {
  PROTOLITH_CHECK_USAGE(config.device == "auto" || config.device == "cpu",
                        "--device {}: this build computes on the CPU only; use --device cpu",
                        config.device);
  return make_cpu_backend(config.threads, config.convolution);
}

Dataset open_data(const std::string& spec, bool quiet) {
  DatasetOptions options;
  if (!quiet) options.warn = warn;
  return open_dataset(spec, options);
}

std::string absolute_data(const std::string& spec) {
  const DatasetSpec parts = parse_dataset_spec(spec);
  // The generator's argument is a seed, every other kind's a path.
  if (parts.kind == "synthetic" || parts.argument.empty()) return spec;
  return parts.kind + ":" + std::filesystem::absolute(parts.argument).lexically_normal().string();
}

double peak_memory_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

void warn(const std::string& message) {
  std::fputs(fmt::format("protolith: warning: {}\n", message).c_str(), stderr);
}

}  // namespace protolith
