// Comparing what a kernel family's header says of its traffic with what its launches do.
#pragma once

#include <cstdint>

#include "kernels/cuda/traffic.h"
#include "tests/gpu_emulation/kernels/support.h"
#include "tests/gpu_emulation/simt/traffic_recorder.h"

namespace protolith::test {

/// Runs work(), whose launches may touch these arrays and no other device memory, and checks that
/// the distinct bytes of each launch, summed up, and the launches are those stated.
template <class Work, class... Arrays>
void check_traffic(const cuda::Traffic& stated, const Work& work, const Arrays&... arrays) {
  simt::TrafficRecorder recorder;
  (recorder.add_range(arrays.data(), arrays.size() * sizeof *arrays.data()), ...);
  work();
  const cuda::Traffic counted = recorder.total();
  CHECK(counted.read == stated.read);
  CHECK(counted.written == stated.written);
  CHECK(counted.launches == stated.launches);
}

}  // namespace protolith::test
