// The CPU backend in its forms, as test_backend_ops tests it.
#include <doctest/doctest.h>

#include "tests/backend_ops/support.h"

namespace protolith::test {

void for_each_backend(const std::function<void(Backend&)>& test) {
  const std::function<std::unique_ptr<Backend>()> makers[] = {
      [] { return make_cpu_backend(1); },
      [] { return make_cpu_backend(2); },
      [] { return make_cpu_backend(2, CpuConvolution::direct); },
  };
  for (const auto& make : makers) {
    const std::unique_ptr<Backend> backend = make();
    const std::string name = backend->description();
    CAPTURE(name);
    test(*backend);
  }
}

}  // namespace protolith::test
