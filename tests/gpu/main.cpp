// Tests of the CUDA backend on a real device; skipped, with exit code 77, where there is none.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

#include "engine/cuda_loader.h"

int main(int argc, char** argv) {
  constexpr int kSkipped = 77;
  try {
    const auto backend = protolith::load_cuda_backend({});
    std::fprintf(stderr, "testing on %s\n", backend->description().c_str());
  } catch (const protolith::Error& error) {
    std::fprintf(stderr, "skipped: %s\n", error.what());
    return kSkipped;
  }
  return doctest::Context(argc, argv).run();
}
