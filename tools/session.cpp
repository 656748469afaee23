#include "tools/session.h"

#include <cstdio>

namespace protolith {

std::unique_ptr<Backend> open_backend(const Config& config) {
  PROTOLITH_CHECK_USAGE(config.device == "auto" || config.device == "cpu",
                        "--device {}: this build computes on the CPU only; use --device cpu",
                        config.device);
  return make_cpu_backend(config.threads);
}

Dataset open_data(const std::string& spec, bool quiet) {
  DatasetOptions options;
  if (!quiet) options.warn = warn;
  return open_dataset(spec, options);
}

void warn(const std::string& message) {
  std::fputs(fmt::format("protolith: warning: {}\n", message).c_str(), stderr);
}

}  // namespace protolith
